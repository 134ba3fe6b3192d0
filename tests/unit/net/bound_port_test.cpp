#include "libs/net/bound_port.hpp"

#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>
#include <optional>

namespace raymesh::net {
namespace {

using boost::asio::ip::tcp;

// Holds the port on ::1; nothing on a machine without it.
std::optional<tcp::acceptor> take_on_ipv6(boost::asio::io_context& io, uint16_t port) {
  try {
    return tcp::acceptor(io, {boost::asio::ip::address_v6::loopback(), port}, false);
  } catch (const boost::system::system_error&) {
    return std::nullopt;
  }
}

TEST(BoundPortTest, LocalhostIsOnePortOnEveryLoopbackAddressOfThisMachine) {
  boost::asio::io_context io;
  const bool has_ipv6 = take_on_ipv6(io, 0).has_value();
  auto bound = BoundPort::open("localhost:0");
  ASSERT_TRUE(bound.ok()) << bound.error().message;
  ASSERT_EQ(bound->sockets().size(), has_ipv6 ? 2u : 1u);
  EXPECT_GT(bound->port(), 0);
  for (const auto& socket : bound->sockets()) {
    EXPECT_TRUE(socket.endpoint.address().is_loopback());
    EXPECT_EQ(socket.endpoint.port(), bound->port());
  }
  EXPECT_TRUE(bound->sockets().front().endpoint.address().is_v4());
  EXPECT_EQ(bound->sockets().back().endpoint.address().is_v6(), has_ipv6);
}

TEST(BoundPortTest, APortThatAnotherHasOnOneAddressIsRefusedAndSaysWhich) {
  boost::asio::io_context io;
  auto other = take_on_ipv6(io, 0);
  const int port = other ? other->local_endpoint().port() : BoundPort::open("127.0.0.1:0")->port();
  auto bound = BoundPort::open("localhost:" + std::to_string(port));
  // Clients of localhost would reach the other one.
  ASSERT_EQ(bound.ok(), !other);
  if (!bound.ok()) {
    EXPECT_TRUE(bound.error().message.find("[::1]:" + std::to_string(port)) != std::string::npos)
        << bound.error().message;
  }
}

TEST(BoundPortTest, APortIsFreeAgainWhenItGoes) {
  const int port = BoundPort::open("127.0.0.1:0")->port();
  auto again = BoundPort::open("127.0.0.1:" + std::to_string(port));
  EXPECT_TRUE(again.ok()) << again.error().message;
}

}  // namespace
}  // namespace raymesh::net
