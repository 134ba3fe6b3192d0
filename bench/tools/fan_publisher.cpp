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

  int fd() const { return fd_; }

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

// What all publishers share: when the next message may go, and what is in it.
class Publisher {
 public:
  Publisher(const FanConfig& c, FanProgress& p) : config_(c), progress_(p) {}
  virtual ~Publisher() = default;

  void run() {
    prctl(PR_SET_TIMERSLACK, 1);
    const int64_t start = now_ns();
    for (uint64_t sequence = 1; !progress_.stop.load(std::memory_order_relaxed); ++sequence) {
      int64_t due;
      if (config_.rate > 0) {
        due = start + static_cast<int64_t>(sequence) * 1'000'000'000 / config_.rate;
        if (due > now_ns()) flush();
        sleep_until(due);
      } else {
        if (!wait_for_window(sequence)) break;
        due = now_ns();
      }
      const size_t channel = (sequence - 1) % config_.channels;
      // Each channel has its own sequence, so that subscribers can see what is missing.
      const std::string payload =
          make_payload(config_.payload_bytes, (sequence - 1) / config_.channels + 1, due);
      send(channel, payload);
      progress_.published.fetch_add(1, std::memory_order_release);
      if (config_.rate > 0) flush();
    }
    finish();
    progress_.finished.store(true, std::memory_order_release);
    progress_.close.wait(false);
  }

 protected:
  virtual void send(size_t channel, const std::string& payload) = 0;
  virtual void flush() = 0;
  virtual void finish() { flush(); }

  const FanConfig& config_;

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

  static void sleep_until(int64_t due) {
    timespec t{due / 1'000'000'000, due % 1'000'000'000};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, nullptr) == EINTR) {
    }
  }

  FanProgress& progress_;
};

// WebSocket, NATS and MQTT: nobody answers a publish, so messages are written one behind the other.
class StreamPublisher final : public Publisher {
 public:
  StreamPublisher(const FanConfig& c, FanProgress& p) : Publisher(c, p) {
    for (const std::string& url : c.publish) open(url);
  }

 private:
  enum class Protocol : uint8_t { kWebSocket, kNats, kMqtt };
  struct Stream {
    Protocol protocol;
    std::unique_ptr<Wire> wire;
    std::string pending;
  };

  void open(const std::string& url) {
    Stream s{url.starts_with("ws://")     ? Protocol::kWebSocket
             : url.starts_with("mqtt://") ? Protocol::kMqtt
                                          : Protocol::kNats,
             nullptr,
             {}};
    const Target t = parse_target(url, s.protocol == Protocol::kWebSocket ? "ws"
                                       : s.protocol == Protocol::kMqtt    ? "mqtt"
                                                                          : "tcp");
    s.wire = std::make_unique<Wire>(connect_loopback(t.host, t.port));
    switch (s.protocol) {
      case Protocol::kWebSocket:
        s.wire->write(upgrade_request(t, config_.publish_headers));
        if (s.wire->read_until("\r\n\r\n").compare(9, 3, "101") != 0)
          fail("the publisher's upgrade was refused");
        break;
      case Protocol::kNats:
        s.wire->read_until("\r\n");
        s.wire->write("CONNECT {\"verbose\":false,\"pedantic\":false}\r\nPING\r\n");
        s.wire->read_until("PONG\r\n");
        break;
      case Protocol::kMqtt:
        s.wire->write(mqtt_connect("publisher"));
        if (s.wire->read_exactly(4)[3] != 0) fail("the publisher's CONNECT was refused");
        break;
    }
    streams_.push_back(std::move(s));
  }

  void send(size_t channel, const std::string& payload) override {
    Stream& s = streams_[channel * streams_.size() / config_.channels];
    const std::string body = fill(config_.publish_body, channel, payload);
    switch (s.protocol) {
      case Protocol::kWebSocket:
        append_client_frame(s.pending, 1, body);
        break;
      case Protocol::kNats:
        s.pending += body;
        break;
      case Protocol::kMqtt:
        s.pending += mqtt_publish("ch" + std::to_string(channel), payload);
        break;
    }
    if (s.pending.size() > 8192) write(s);
  }

  void flush() override {
    for (Stream& s : streams_) write(s);
  }

  static void write(Stream& s) {
    if (s.pending.empty()) return;
    s.wire->write(s.pending);
    s.pending.clear();
    s.wire->drain();
  }

  std::vector<Stream> streams_;
};

// HTTP: on each connection the next message follows the answer to the one before it. A channel's
// messages stay in order as long as there are fewer connections than channels (or one of both).
class HttpPublisher final : public Publisher {
 public:
  HttpPublisher(const FanConfig& c, FanProgress& p)
      : Publisher(c, p), target_(parse_target(c.publish[0], "http")) {
    if (c.channels < c.publish_connections) fail("more --publish-connections than --channels");
    for (size_t i = 0; i < c.publish_connections; ++i)
      wires_.push_back(std::make_unique<Wire>(connect_loopback(target_.host, target_.port)));
    for (const auto& w : wires_) free_.push_back(w.get());
    head_ = " HTTP/1.1\r\nHost: " + target_.host + ":" + std::to_string(target_.port) + "\r\n";
    for (const auto& h : c.publish_headers) head_ += h + "\r\n";
  }

 private:
  void send(size_t channel, const std::string& payload) override {
    while (free_.empty()) take_answers();
    Wire& wire = *free_.back();
    free_.pop_back();
    const std::string body = fill(config_.publish_body, channel, payload);
    wire.write("POST " + fill(target_.path, channel) + head_ +
               "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body);
    busy_.push_back(&wire);
    if (wires_.size() == 1) take_answers();
  }

  void flush() override {}

  void finish() override {
    while (!busy_.empty()) take_answers();
  }

  void take_answers() {
    std::vector<pollfd> fds;
    for (const Wire* w : busy_) fds.push_back({w->fd(), POLLIN, 0});
    if (::poll(fds.data(), fds.size(), 10'000) <= 0)
      fail("the server did not answer the publisher for 10 s");
    size_t kept = 0;
    for (size_t i = 0; i < fds.size(); ++i) {
      if (fds[i].revents == 0) {
        busy_[kept++] = busy_[i];
      } else {
        read_answer(*busy_[i]);
        free_.push_back(busy_[i]);
      }
    }
    busy_.resize(kept);
  }

  static void read_answer(Wire& wire) {
    std::string head = wire.read_until("\r\n\r\n");
    if (head[9] != '2') fail("a publish was refused: " + head);
    for (char& c : head) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    const size_t at = head.find("content-length:");
    if (at == std::string::npos) fail("a publish was answered without Content-Length");
    wire.read_exactly(std::strtoull(head.c_str() + at + 15, nullptr, 10));
  }

  const Target target_;
  std::string head_;
  std::vector<std::unique_ptr<Wire>> wires_;
  std::vector<Wire*> free_, busy_;
};

}  // namespace

void run_publisher(const FanConfig& config, FanProgress& progress) {
  if (config.publish[0].starts_with("http://"))
    HttpPublisher(config, progress).run();
  else
    StreamPublisher(config, progress).run();
}

}  // namespace raymesh::bench
