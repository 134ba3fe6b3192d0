// A listening TCP port: for each of its addresses one acceptor per I/O thread (SO_REUSEPORT), which
// gives what it accepts to the first thread while that has few connections, so that they wake one
// thread, and to the one with the fewest above that. At the connection limit, above the accept
// rate, or without file descriptors it stops accepting and leaves callers in the kernel's backlog;
// nothing spins. Owned by a service's app; open and close from one thread, the accept handler runs
// on the connection's I/O thread.
#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>

#include "libs/base/result.hpp"
#include "libs/net/bound_port.hpp"
#include "libs/net/io_threads.hpp"

namespace raymesh::net {

struct ListenerConfig {
  std::string address;              // parse_endpoints' form
  size_t max_connections = 50'000;  // open at once, all threads
  double accepts_per_second = 0;    // all threads; 0: no bound
  size_t one_thread_up_to = 0;      // connections that all live on the first thread
  int backlog = 4'096;              // the kernel caps it at net.core.somaxconn
};

class Listener;

/// One counted connection: give it to the session, and its end makes room for another accept. Any
/// thread; may outlive the Listener.
class ConnectionSlot {
 public:
  ConnectionSlot() = default;
  ConnectionSlot(ConnectionSlot&&) = default;
  ConnectionSlot& operator=(ConnectionSlot&& o) noexcept;
  ~ConnectionSlot() { release(); }
  void release();

 private:
  friend class Listener;
  std::shared_ptr<Listener> listener_;
  size_t thread_ = 0;
};

/// `socket` is non-blocking, with TCP_NODELAY set.
struct Accepted {
  size_t thread;
  boost::asio::ip::tcp::socket socket;
  boost::asio::ip::tcp::endpoint peer;
  ConnectionSlot slot;
};

class Listener : public std::enable_shared_from_this<Listener> {
 public:
  using OnAccept = std::function<void(Accepted)>;

  /// Binds on every thread and starts to accept. Fails with a message that names the address.
  /// `threads` must outlive the listener and its slots.
  static Result<std::shared_ptr<Listener>> open(IoThreads& threads, ListenerConfig config,
                                                OnAccept on_accept);
  ~Listener();

  int port() const { return port_; }
  size_t connections() const;
  /// Stops accepting and closes the port; when it returns, the accept handler runs no more. Open
  /// connections stay. Not from an I/O thread.
  void close();

 private:
  struct Acceptor;
  struct State;
  friend class ConnectionSlot;

  Listener();
  Status open_acceptors(BoundPort::Socket& first);
  void connection_closed(size_t thread);
  static size_t choose_thread(State& state);
  static void wait(Acceptor& a);
  static void accept_ready(Acceptor& a);
  static void pause(Acceptor& a, std::chrono::milliseconds duration);

  std::unique_ptr<State> state_;
  int port_ = 0;
};

}  // namespace raymesh::net
