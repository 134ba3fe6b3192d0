// What TCP, WebSocket and HTTP alike begin with: a connected socket, with TLS or without. Private
// to the transports.
#pragma once

#include <openssl/ssl.h>

#include <array>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/connect.hpp>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/host_name_verification.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <string>

#include "clients/cpp/src/address.hpp"

namespace raymesh::client {

namespace asio = boost::asio;
using TcpStream = asio::ip::tcp::socket;
using TlsStream = asio::ssl::stream<asio::ip::tcp::socket>;

inline TcpStream& lowest(TcpStream& stream) {
  return stream;
}
inline TcpStream& lowest(TlsStream& stream) {
  return stream.next_layer();
}

/// Trusts the system's authorities and those of the file, and nobody whose name is another.
inline asio::ssl::context make_tls_context(const std::string& ca_file) {
  asio::ssl::context context(asio::ssl::context::tls_client);
  context.set_options(asio::ssl::context::no_tlsv1 | asio::ssl::context::no_tlsv1_1);
  context.set_default_verify_paths();
  if (!ca_file.empty()) context.load_verify_file(ca_file);
  context.set_verify_mode(asio::ssl::verify_peer);
  return context;
}

inline asio::awaitable<void> connect_tcp(TcpStream& socket, const Address& address) {
  asio::ip::tcp::resolver resolver(co_await asio::this_coro::executor);
  const auto found =
      co_await resolver.async_resolve(address.host, address.port, asio::use_awaitable);
  co_await asio::async_connect(socket, found, asio::use_awaitable);
  socket.set_option(asio::ip::tcp::no_delay(true));
}

inline asio::awaitable<void> connect_stream(TcpStream& stream, const Address& address) {
  return connect_tcp(stream, address);
}

inline asio::awaitable<void> connect_stream(TlsStream& stream, const Address& address) {
  boost::system::error_code no_ip;
  asio::ip::make_address(address.host, no_ip);
  // RFC 6066 section 3: the name, when it is one.
  if (no_ip) SSL_set_tlsext_host_name(stream.native_handle(), address.host.c_str());
  stream.set_verify_callback(asio::ssl::host_name_verification(address.host));
  co_await connect_tcp(stream.next_layer(), address);
  co_await stream.async_handshake(asio::ssl::stream_base::client, asio::use_awaitable);
}

}  // namespace raymesh::client
