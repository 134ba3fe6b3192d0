#include "libs/rpc/http2_connection.hpp"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>

namespace raymesh::rpc {
namespace {

constexpr size_t kReadBytes = 64 << 10;
// Reads per wake-up, so that one connection does not keep the thread from the others.
constexpr int kReadsPerTurn = 16;
constexpr size_t kWriteBytes = 128 << 10;
// The same for writes.
constexpr int kWritesPerTurn = 16;

// A peer that vanished without a FIN: pinged after two quiet ticks, given up after three.
constexpr std::chrono::seconds kTick{5};
constexpr int kPingAfter = 2;
constexpr int kGiveUpAfter = 3;
// How long the other side may take to close a connection that has ended.
constexpr std::chrono::seconds kLinger{5};

}  // namespace

Http2Connection::Http2Connection(net::Loop& loop, int fd, ssl_st* tls, Side side,
                                 const Http2Limits& limits)
    : Http2Session(side, limits),
      loop_(loop),
      side_(side),
      socket_(fd),
      stream_(fd, tls),
      timer_(loop.timer()) {}

Http2Connection::~Http2Connection() = default;

void Http2Connection::start() {
  watch_ = loop_.watch(socket_.get(), weak_from_this());
  if (!watch_) return close("the process cannot watch more sockets");
  arm_tick();
  // A client's socket may still be connecting.
  if (side_ == Side::kClient) return wait(Ready::kWrite);
  shake_hands();
}

void Http2Connection::wait(Ready what) {
  bool& waiting = what == Ready::kRead ? waiting_read_ : waiting_write_;
  if (closed_ || std::exchange(waiting, true)) return;
  watch_->await(what);
}

void Http2Connection::on_ready(Ready what) {
  (what == Ready::kRead ? waiting_read_ : waiting_write_) = false;
  if (closed_) return;
  if (!connected_) return shake_hands();
  if (what == Ready::kWrite) write();
  if (!closed_ && !waiting_read_) read();
}

void Http2Connection::shake_hands() {
  int error = 0;
  socklen_t size = sizeof error;
  if (::getsockopt(socket_.get(), SOL_SOCKET, SO_ERROR, &error, &size) == 0 && error != 0)
    return close(std::string("cannot connect: ") + std::strerror(error));
  switch (stream_.handshake().state) {
    case net::IoState::kDone:
      break;
    case net::IoState::kWantRead:
      return wait(Ready::kRead);
    case net::IoState::kWantWrite:
      return wait(Ready::kWrite);
    case net::IoState::kEnd:
    case net::IoState::kFailed:
      return close(stream_.failure().empty() ? "the TLS handshake was broken off"
                                             : "the TLS handshake failed: " + stream_.failure());
  }
  connected_ = true;
  if (!on_ready()) return close("not let in");
  schedule_turn();
  read();
}

// ---- Reading ----

void Http2Connection::read() {
  thread_local std::unique_ptr<char[]> buffer(new char[kReadBytes]);
  const auto keep = shared_from_this();
  bool empty = false;
  for (int i = 0; i < kReadsPerTurn && !empty; ++i) {
    const net::IoResult r = stream_.read(buffer.get(), kReadBytes);
    if (r.state == net::IoState::kWantWrite) return wait(Ready::kWrite);
    empty = r.state == net::IoState::kWantRead;
    if (empty) break;
    if (r.state != net::IoState::kDone)
      return close(r.state == net::IoState::kEnd ? "the other side has closed the connection"
                                                 : "the connection is broken");
    quiet_ticks_ = 0;
    if (!lingering_ && !receive({buffer.get(), r.bytes})) {
      write();
      return close("the other side does not speak HTTP/2");
    }
    if (closed_) return;
    // A read that did not fill the buffer has emptied the socket: no need to ask again.
    empty = stream_.is_tls() ? !stream_.has_pending() : r.bytes < kReadBytes;
  }
  schedule_turn();
  if (empty) return wait(Ready::kRead);
  read_soon();
}

// What the TLS session holds already does not make the socket readable.
void Http2Connection::read_soon() {
  if (std::exchange(reading_soon_, true)) return;
  loop_.post([self = shared_from_this()] {
    self->reading_soon_ = false;
    if (!self->closed_ && !self->waiting_read_) self->read();
  });
}

// ---- Writing ----

void Http2Connection::wake(std::shared_ptr<StreamHandler> handler) {
  std::lock_guard lock(mutex_);
  if (ended_) return;
  woken_.push_back(std::move(handler));
  post_turn();
}

void Http2Connection::schedule_turn() {
  std::lock_guard lock(mutex_);
  if (!ended_) post_turn();
}

// Under the mutex: close() waits for it, and the threads may go after that.
void Http2Connection::post_turn() {
  if (std::exchange(turn_due_, true)) return;
  loop_.post([self = shared_from_this()] { self->turn(); });
}

void Http2Connection::turn() {
  {
    std::lock_guard lock(mutex_);
    turn_due_ = false;
    turning_.swap(woken_);
  }
  if (!closed_) {
    for (const auto& handler : turning_) handler->on_turn();
  }
  turning_.clear();
  write();
}

void Http2Connection::run_drained() {
  for (const auto& handler : take_drained()) handler->on_turn();
}

void Http2Connection::write() {
  if (closed_ || lingering_ || !connected_ || waiting_write_) return;
  const auto keep = shared_from_this();
  for (int i = 0;; ++i) {
    fill();
    if (closed_) return;
    if (out_.empty()) break;
    if (i == kWritesPerTurn) return schedule_turn();
    const net::IoResult r = stream_.write(out_.view().data(), out_.size());
    if (r.state == net::IoState::kWantRead) return wait(Ready::kRead);
    if (r.state == net::IoState::kWantWrite) return wait(Ready::kWrite);
    if (r.state != net::IoState::kDone) return close("the connection is broken");
    out_.take(r.bytes);
  }
  if (closing_ && !busy()) return linger();
  if (finished()) close("the connection has ended");
}

// Handlers may have more to send when what they sent last is in out_.
void Http2Connection::fill() {
  for (int i = 0; i < 2 && !closed_ && out_.size() < kWriteBytes; ++i) {
    take_output(out_.tail(), kWriteBytes - out_.size());
    run_drained();
  }
}

// ---- The end ----

void Http2Connection::close_when_done() {
  if (closed_) return;
  if (!connected_) return close("the connection is closed");
  closing_ = true;
  go_away();
  schedule_turn();
}

// A socket that is closed before all that came was read is reset, and the last answers with it if
// they are still on their way. So the other side closes first.
void Http2Connection::linger() {
  lingering_ = true;
  stream_.shutdown_send();
  timer_->set(net::Loop::Clock::now() + kLinger, [weak = weak_from_this()] {
    if (const auto self = weak.lock()) self->close("the connection has ended");
  });
}

void Http2Connection::close(std::string_view reason) {
  if (std::exchange(closed_, true)) return;
  const auto keep = shared_from_this();
  failure_ = reason;
  if (connected_ && !lingering_) stream_.shutdown_send();
  stream_.invalidate();
  timer_.reset();
  watch_.reset();
  socket_.reset();
  std::vector<std::shared_ptr<StreamHandler>> woken;
  {
    std::lock_guard lock(mutex_);
    ended_ = true;
    woken.swap(woken_);
  }
  close_all(failure_);
  on_connection_closed();
}

void Http2Connection::arm_tick() {
  timer_->set(net::Loop::Clock::now() + kTick, [weak = weak_from_this()] {
    if (const auto self = weak.lock()) self->tick();
  });
}

void Http2Connection::tick() {
  ++quiet_ticks_;
  if (quiet_ticks_ >= kGiveUpAfter || (quiet_ticks_ >= kPingAfter && !connected_))
    return close("the other side has gone silent");
  if (quiet_ticks_ == kPingAfter) {
    ping();
    schedule_turn();
  }
  arm_tick();
}

}  // namespace raymesh::rpc
