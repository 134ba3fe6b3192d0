#include "libs/net/listener.hpp"

#include <gtest/gtest.h>

#include <sys/resource.h>
#include <thread>

#include <algorithm>
#include <atomic>
#include <boost/asio/io_context.hpp>
#include <condition_variable>
#include <future>
#include <mutex>
#include <optional>

namespace raymesh::net {
namespace {

using boost::asio::ip::tcp;
using namespace std::chrono_literals;

// Keeps what was accepted; the test waits for a number of connections.
struct Taken {
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<Accepted> all;

  Listener::OnAccept handler() {
    return [this](Accepted a) {
      std::lock_guard lock(mutex);
      all.push_back(std::move(a));
      changed.notify_all();
    };
  }
  bool wait_for(size_t n) {
    std::unique_lock lock(mutex);
    return changed.wait_for(lock, 10s, [&] { return all.size() >= n; });
  }
  size_t size() {
    std::lock_guard lock(mutex);
    return all.size();
  }
};

struct Client {
  boost::asio::io_context io;
  tcp::socket connect(int port) {
    tcp::socket s(io);
    s.connect({boost::asio::ip::make_address("127.0.0.1"), static_cast<uint16_t>(port)});
    return s;
  }
};

TEST(ListenerTest, AcceptsOnAPortOfTheKernelsChoice) {
  IoThreads threads(2, "test");
  Taken taken;
  auto listener = Listener::open(threads, {.address = "127.0.0.1:0"}, taken.handler());
  ASSERT_TRUE(listener.ok());
  EXPECT_GT((*listener)->port(), 0);
  Client client;
  std::vector<tcp::socket> sockets;
  for (int i = 0; i < 64; ++i) sockets.push_back(client.connect((*listener)->port()));
  ASSERT_TRUE(taken.wait_for(64));
  // A thread counts a place before it looks whether there is somebody for it.
  while ((*listener)->connections() != 64) std::this_thread::yield();
  EXPECT_TRUE(taken.all[0].peer.address().is_loopback());
  (*listener)->close();
  EXPECT_THROW(client.connect((*listener)->port()), boost::system::system_error);
  threads.stop();
  taken.all.clear();
  EXPECT_EQ((*listener)->connections(), 0u);
}

TEST(ListenerTest, CountsTheConnectionsOfAllItsAddressesTogether) {
  IoThreads threads(2, "test");
  Taken taken;
  auto listener =
      Listener::open(threads, {.address = "localhost:0", .max_connections = 4}, taken.handler());
  ASSERT_TRUE(listener.ok()) << listener.error().message;
  Client client;
  std::vector<tcp::socket> sockets;
  auto connect = [&](const char* address) {
    tcp::socket s(client.io);
    boost::system::error_code ec;
    s.connect({boost::asio::ip::make_address(address), static_cast<uint16_t>((*listener)->port())},
              ec);
    sockets.push_back(std::move(s));
    return !ec;
  };
  EXPECT_TRUE(connect("127.0.0.1"));
  const bool has_ipv6 = connect("::1");
  for (int i = 0; i < 6; ++i) EXPECT_TRUE(connect(has_ipv6 && i % 2 == 0 ? "::1" : "127.0.0.1"));
  for (size_t n = 4; n <= sockets.size() - (has_ipv6 ? 0 : 1); ++n) {
    ASSERT_TRUE(taken.wait_for(n));
    EXPECT_EQ((*listener)->connections(), 4u);
    std::lock_guard lock(taken.mutex);
    taken.all[n - 4].slot.release();
  }
  (*listener)->close();
  threads.stop();
}

TEST(ListenerTest, RefusesAPortInUseAndSaysWhich) {
  IoThreads threads(2, "test");
  Taken taken;
  auto first = Listener::open(threads, {.address = "127.0.0.1:0"}, taken.handler());
  ASSERT_TRUE(first.ok());
  const std::string address = "127.0.0.1:" + std::to_string((*first)->port());
  auto second = Listener::open(threads, {.address = address}, taken.handler());
  ASSERT_FALSE(second.ok());
  EXPECT_NE(second.error().message.find(address), std::string::npos);
  (*first)->close();
}

TEST(ListenerTest, WaitsAtTheLimitUntilAConnectionEnds) {
  IoThreads threads(2, "test");
  Taken taken;
  auto listener =
      Listener::open(threads, {.address = "127.0.0.1:0", .max_connections = 3}, taken.handler());
  Client client;
  std::vector<tcp::socket> sockets;
  for (int i = 0; i < 8; ++i) sockets.push_back(client.connect((*listener)->port()));
  for (size_t n = 3; n <= 8; ++n) {
    ASSERT_TRUE(taken.wait_for(n));
    EXPECT_EQ((*listener)->connections(), 3u);
    std::lock_guard lock(taken.mutex);
    taken.all[n - 3].slot.release();
  }
  (*listener)->close();
  threads.stop();
}

TEST(ListenerTest, AcceptsAgainWhenDescriptorsAreBack) {
  IoThreads threads(1, "test");
  Taken taken;
  auto listener = Listener::open(threads, {.address = "127.0.0.1:0"}, taken.handler());
  Client client;
  tcp::socket socket(client.io, tcp::v4());
  rlimit old{};
  ::getrlimit(RLIMIT_NOFILE, &old);
  // No descriptor above those in use can be opened any more.
  const int next = ::dup(0);
  ::close(next);
  rlimit none = old;
  none.rlim_cur = static_cast<rlim_t>(next);
  ::setrlimit(RLIMIT_NOFILE, &none);
  socket.connect(
      {boost::asio::ip::make_address("127.0.0.1"), static_cast<uint16_t>((*listener)->port())});
  // The accept fails until the limit is lifted; that it waits meanwhile instead of spinning shows
  // in the CPU time of 300 ms.
  rusage before{}, after{};
  ::getrusage(RUSAGE_SELF, &before);
  {
    std::unique_lock lock(taken.mutex);
    EXPECT_FALSE(taken.changed.wait_for(lock, 300ms, [&] { return !taken.all.empty(); }));
  }
  ::getrusage(RUSAGE_SELF, &after);
  ::setrlimit(RLIMIT_NOFILE, &old);
  const auto cpu = [](const rusage& r) {
    return (r.ru_utime.tv_sec + r.ru_stime.tv_sec) * 1'000'000 + r.ru_utime.tv_usec +
           r.ru_stime.tv_usec;
  };
  EXPECT_LT(cpu(after) - cpu(before), 50'000);
  EXPECT_TRUE(taken.wait_for(1));
  (*listener)->close();
  threads.stop();
}

TEST(ListenerTest, FewConnectionsShareTheFirstThreadAndMoreAreSpreadEvenly) {
  IoThreads threads(3, "test");
  Taken taken;
  std::atomic<bool> at_home = true;
  auto keep = taken.handler();
  auto listener =
      Listener::open(threads, {.address = "127.0.0.1:0", .one_thread_up_to = 4}, [&](Accepted a) {
        if (threads.here() != a.thread) at_home = false;
        keep(std::move(a));
      });
  Client client;
  std::vector<tcp::socket> sockets;
  const auto connect = [&](size_t n) {
    const size_t before = taken.size();
    for (size_t i = 0; i < n; ++i) {
      sockets.push_back(client.connect((*listener)->port()));
      ASSERT_TRUE(taken.wait_for(before + i + 1));
    }
  };
  const auto on_thread = [&](size_t thread) {
    std::lock_guard lock(taken.mutex);
    return std::count_if(taken.all.begin(), taken.all.end(),
                         [&](const Accepted& a) { return a.thread == thread; });
  };
  connect(4);
  EXPECT_EQ(on_thread(0), 4);
  connect(11);
  for (size_t thread = 0; thread < 3; ++thread) EXPECT_EQ(on_thread(thread), 5);
  // Those that end make room on their thread.
  {
    std::lock_guard lock(taken.mutex);
    std::erase_if(taken.all, [](const Accepted& a) { return a.thread == 2; });
  }
  connect(5);
  for (size_t thread = 0; thread < 3; ++thread) EXPECT_EQ(on_thread(thread), 5);
  EXPECT_TRUE(at_home);
  // What was handed over is there when close() returns, or its socket is closed.
  std::vector<tcp::socket> late;
  for (int i = 0; i < 30; ++i) late.push_back(client.connect((*listener)->port()));
  (*listener)->close();
  const size_t then = taken.size();
  for (size_t i = 0; i < threads.size(); ++i) {
    std::promise<void> done;
    threads.post(i, [&] { done.set_value(); });
    done.get_future().wait();
  }
  EXPECT_EQ(taken.size(), then);
  threads.stop();
}

TEST(ListenerTest, KeepsToTheAcceptRate) {
  IoThreads threads(1, "test");
  Taken taken;
  auto listener = Listener::open(threads, {.address = "127.0.0.1:0", .accepts_per_second = 20},
                                 taken.handler());
  Client client;
  const auto start = std::chrono::steady_clock::now();
  std::vector<tcp::socket> sockets;
  for (int i = 0; i < 11; ++i) sockets.push_back(client.connect((*listener)->port()));
  ASSERT_TRUE(taken.wait_for(11));
  EXPECT_GE(std::chrono::steady_clock::now() - start, 450ms);
  (*listener)->close();
  threads.stop();
}

}  // namespace
}  // namespace raymesh::net
