#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <ctime>

#include "bench/tools/fan.hpp"

namespace raymesh::bench {
namespace {

// One blocking-style connection on top of a non-blocking socket: the publisher has nothing else to
// do.
class Wire {
 public:
  explicit Wire(int fd) : fd_(fd) {}
  ~Wire() { close(fd_); }
  Wire(const Wire&) = delete;
  Wire& operator=(const Wire&) = delete;

  void write(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t n = send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n > 0) {
        bytes.remove_prefix(static_cast<size_t>(n));
      } else if (errno == EAGAIN || errno == ENOTCONN || errno == EINPROGRESS) {
        wait(POLLOUT);
        drain();
      } else {
        fail(std::string("the publisher's connection broke: ") + std::strerror(errno));
      }
    }
  }

  /// Reads until `end` has been seen, and gives everything up to and with it.
  std::string read_until(std::string_view end) {
    for (;;) {
      if (const size_t at = in_.find(end); at != std::string::npos) {
        std::string result = in_.substr(0, at + end.size());
        in_.erase(0, at + end.size());
        return result;
      }
      read_some(true);
    }
  }

  std::string read_exactly(size_t n) {
    while (in_.size() < n) read_some(true);
    std::string result = in_.substr(0, n);
    in_.erase(0, n);
    return result;
  }

  /// Throws away what the server says (pings of a run this short need no answer).
  void drain() {
    while (read_some(false)) {
    }
    if (in_.find("PING\r\n") != std::string::npos) write("PONG\r\n");
    in_.clear();
  }

 private:
  void wait(short what) {
    pollfd p{fd_, what, 0};
    if (::poll(&p, 1, 10'000) <= 0) fail("the server did not answer the publisher for 10 s");
  }

  bool read_some(bool block) {
    char buffer[16384];
    for (;;) {
      const ssize_t n = recv(fd_, buffer, sizeof buffer, 0);
      if (n > 0) {
        in_.append(buffer, static_cast<size_t>(n));
        return true;
      }
      if (n == 0) fail("the server closed the publisher's connection");
      if (errno != EAGAIN)
        fail(std::string("the publisher's connection broke: ") + std::strerror(errno));
      if (!block) return false;
      wait(POLLIN);
    }
  }

  int fd_;
  std::string in_;
};

class Publisher {
 public:
  Publisher(const FanConfig& c, FanProgress& p) : config_(c), progress_(p) {
    if (c.publish.starts_with("ws://")) {
      const Target t = parse_target(c.publish, "ws");
      wire_ = std::make_unique<Wire>(connect_loopback(t.host, t.port));
      wire_->write(upgrade_request(t, c.publish_headers));
      if (wire_->read_until("\r\n\r\n").compare(9, 3, "101") != 0)
        fail("the publisher's upgrade was refused");
    } else if (c.publish.starts_with("http://")) {
      target_ = parse_target(c.publish, "http");
      wire_ = std::make_unique<Wire>(connect_loopback(target_.host, target_.port));
      http_ = true;
    } else {
      const Target t = parse_target(c.publish, "tcp");
      wire_ = std::make_unique<Wire>(connect_loopback(t.host, t.port));
      raw_ = true;
      wire_->read_until("\r\n");
      wire_->write("CONNECT {\"verbose\":false,\"pedantic\":false}\r\nPING\r\n");
      wire_->read_until("PONG\r\n");
    }
  }

  void run() {
    prctl(PR_SET_TIMERSLACK, 1);
    const int64_t start = now_ns();
    for (uint64_t sequence = 1; !progress_.stop.load(std::memory_order_relaxed); ++sequence) {
      int64_t due;
      if (config_.rate > 0) {
        due = start + static_cast<int64_t>(sequence) * 1'000'000'000 / config_.rate;
        flush_before_waiting(due);
        sleep_until(due);
        due = std::max(due, start);
      } else {
        if (!wait_for_window(sequence)) break;
        due = now_ns();
      }
      const size_t channel = sequence % config_.channels;
      // Each channel has its own sequence, so that subscribers can see gaps.
      send(channel, make_payload(config_.payload_bytes, sequence / config_.channels + 1, due));
      progress_.published.fetch_add(1, std::memory_order_release);
      if (config_.rate > 0) flush();
    }
    flush();
  }

 private:
  // Deliveries that may be outstanding before the next message: the window, in messages.
  bool wait_for_window(uint64_t sequence) {
    const uint64_t per_message = config_.subscribers / config_.channels;
    const uint64_t needed =
        sequence > config_.window ? (sequence - config_.window) * per_message : 0;
    while (progress_.delivered.load(std::memory_order_acquire) < needed) {
      flush();
      if (progress_.stop.load(std::memory_order_relaxed)) return false;
      const uint32_t seen = progress_.wake.load(std::memory_order_acquire);
      // In one order with the receiver's "delivered, then does it wait?", or both look too early.
      progress_.publisher_waits.store(true, std::memory_order_seq_cst);
      if (progress_.delivered.load(std::memory_order_seq_cst) < needed) progress_.wake.wait(seen);
      progress_.publisher_waits.store(false, std::memory_order_release);
    }
    return true;
  }

  void send(size_t channel, const std::string& payload) {
    const std::string body = fill(config_.publish_body, channel, payload);
    if (http_) {
      std::string request = "POST " + fill(target_.path, channel) +
                            " HTTP/1.1\r\nHost: " + target_.host + ":" +
                            std::to_string(target_.port) + "\r\n";
      for (const auto& h : config_.publish_headers) request += h + "\r\n";
      request += "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
      wire_->write(request);
      const std::string head = wire_->read_until("\r\n\r\n");
      if (head[9] != '2') fail("a publish was refused: " + head);
      std::string lower = head;
      for (char& c : lower) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
      const size_t at = lower.find("content-length:");
      if (at == std::string::npos) fail("a publish was answered without Content-Length");
      wire_->read_exactly(std::strtoull(lower.c_str() + at + 15, nullptr, 10));
    } else if (raw_) {
      pending_ += body;
    } else {
      append_client_frame(pending_, 1, body);
    }
    if (pending_.size() > 8192) flush();
  }

  void flush() {
    if (pending_.empty()) return;
    wire_->write(pending_);
    pending_.clear();
    wire_->drain();
  }

  void flush_before_waiting(int64_t due) {
    if (due > now_ns()) flush();
  }

  static void sleep_until(int64_t due) {
    timespec t{due / 1'000'000'000, due % 1'000'000'000};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, nullptr) == EINTR) {
    }
  }

  const FanConfig& config_;
  FanProgress& progress_;
  std::unique_ptr<Wire> wire_;
  Target target_;
  bool http_ = false;
  bool raw_ = false;
  std::string pending_;
};

}  // namespace

void run_publisher(const FanConfig& config, FanProgress& progress) {
  Publisher(config, progress).run();
}

}  // namespace raymesh::bench
