// One HTTP/2 connection on a socket, plain or TLS: reads into the session, and writes what the
// session has once per turn of its I/O thread, so that all that was answered in one turn leaves in
// one system call. Watches that the other side is alive. Lives on one I/O thread; wake() may be
// called from any. Held by its owner until it has closed.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "libs/net/fd_stream.hpp"
#include "libs/net/loop.hpp"
#include "libs/net/unique_fd.hpp"
#include "libs/rpc/byte_queue.hpp"
#include "libs/rpc/http2_session.hpp"

namespace raymesh::rpc {

class Http2Connection : public Http2Session,
                        public net::Loop::Listener,
                        public std::enable_shared_from_this<Http2Connection> {
 public:
  /// `fd` is a connected, or connecting, non-blocking socket; `tls` a session for it or nullptr.
  /// Both are owned from now on. On the thread of `loop`.
  Http2Connection(net::Loop& loop, int fd, ssl_st* tls, Side side, const Http2Limits& limits);
  ~Http2Connection() override;

  /// Starts the handshake and everything after it. On the thread.
  void start();
  /// `handler`'s on_turn runs soon on the thread, if the connection is open then. Any thread, also
  /// when the loop has gone, if it was closed before.
  void wake(std::shared_ptr<StreamHandler> handler);
  /// Closes at once; every stream hears `reason`. On the thread.
  void close(std::string_view reason);
  /// Closes once what is to be sent has left and nothing is open that it waits for. On the thread.
  void close_when_done();

  net::Loop& loop() const { return loop_; }
  bool is_closed() const { return closed_; }

 protected:
  /// The TLS handshake is done, or there is none. False: close.
  virtual bool on_ready() { return true; }
  /// After the last event of the last stream.
  virtual void on_connection_closed() {}
  /// Why it was closed, for people.
  const std::string& failure() const { return failure_; }
  std::vector<std::string> peer_names() const { return stream_.peer_names(); }

 private:
  using Ready = net::Loop::Ready;

  void on_ready(Ready what) final;
  void post_turn();
  void wait(Ready what);
  void shake_hands();
  void read();
  void read_soon();
  void schedule_turn();
  void turn();
  void write();
  void fill();
  void run_drained();
  void linger();
  void tick();
  void arm_tick();

  net::Loop& loop_;
  const Side side_;
  net::UniqueFd socket_;  // until closed
  net::FdStream stream_;
  std::unique_ptr<net::Loop::Watch> watch_;  // from start() until closed
  std::unique_ptr<net::Loop::Timer> timer_;  // until closed
  bool connected_ = false;                   // the handshake is done
  bool closed_ = false;
  bool closing_ = false;  // close_when_done
  bool waiting_read_ = false, waiting_write_ = false;
  bool lingering_ = false;  // all was sent; what still comes is thrown away
  bool reading_soon_ = false;
  int quiet_ticks_ = 0;
  ByteQueue out_;
  std::string failure_;

  std::mutex mutex_;
  std::vector<std::shared_ptr<StreamHandler>> woken_;  // guarded by mutex_
  bool turn_due_ = false;                              // guarded by mutex_
  bool ended_ = false;                                 // guarded by mutex_: nothing is posted
  std::vector<std::shared_ptr<StreamHandler>> turning_;
};

}  // namespace raymesh::rpc
