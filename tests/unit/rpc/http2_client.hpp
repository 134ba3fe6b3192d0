// HTTP/2 as our own services never speak it: a client on Http2Session whose every step the test
// chooses, and frames written by hand. Blocking, one thread.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "libs/rpc/credentials.hpp"
#include "libs/rpc/grpc_wire.hpp"
#include "libs/rpc/http2_session.hpp"
#include "tests/unit/rpc/echo_service.hpp"

namespace raymesh::rpc::test {

/// Keeps what comes on a stream.
struct Recorder : StreamHandler {
  void on_headers(const Headers& received) override {
    if (auto found = grpc_wire::parse_status(received)) status = std::move(found);
  }
  void on_message(std::string_view message) override { messages.emplace_back(message); }
  void on_bad_message(std::string_view why, bool) override { bad = why; }
  void on_end() override { ended = true; }
  void on_closed(std::string_view why) override {
    closed = true;
    reason = why;
  }
  void on_turn() override {}

  std::optional<grpc_wire::Status> status;
  std::vector<std::string> messages;
  std::string bad;
  bool ended = false;
  bool closed = false;
  std::string reason;
};

/// A blocking connection to 127.0.0.1.
class Socket {
 public:
  explicit Socket(int port) : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
      throw std::runtime_error("cannot connect");
    // For a server that says nothing: the test fails, and does not hang.
    const timeval patience{30, 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    ::setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  }
  ~Socket() { close(); }
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;

  void close() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }
  /// False when the other side has closed, or takes nothing.
  bool send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t n = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n <= 0) return false;
      bytes.remove_prefix(static_cast<size_t>(n));
    }
    return true;
  }
  /// What there is, at least a byte. nullopt when the connection was reset, or nothing came for
  /// long; empty at its end.
  std::optional<std::string> receive() {
    std::string bytes(64 << 10, '\0');
    const ssize_t n = ::recv(fd_, bytes.data(), bytes.size(), 0);
    if (n < 0) return std::nullopt;
    bytes.resize(static_cast<size_t>(n));
    return bytes;
  }

 private:
  int fd_;
};

class Http2Client : public Http2Session {
 public:
  explicit Http2Client(int port, const Http2Limits& limits = {})
      : Http2Session(Side::kClient, limits), socket_(port) {}

  /// A stream of a method of Echo, or of any path.
  std::shared_ptr<Recorder> start(const std::string& path, const std::string& key = kClusterKey) {
    auto recorder = std::make_shared<Recorder>();
    Headers headers{
        {":method", "POST"},
        {":scheme", "http"},
        {":path", path.starts_with("/") ? path : "/" + std::string(kEchoName) + "/" + path},
        {":authority", "localhost"},
        {"te", "trailers"},
        {"content-type", "application/grpc"}};
    if (!key.empty()) headers.push_back({kClusterKeyMetadata, key});
    last_ = open(headers, recorder);
    return recorder;
  }
  StreamId last() const { return last_; }

  /// Sends what there is, without reading.
  bool push() {
    std::string out;
    do {
      out.clear();
      take_output(out, 64 << 10);
      if (!socket_.send(out)) return false;
    } while (!out.empty());
    return true;
  }
  /// Sends and reads until `done`; false when the connection ended before.
  bool run(const std::function<bool()>& done) {
    while (!done()) {
      if (!push()) return false;
      if (done()) return true;
      const auto bytes = socket_.receive();
      if (!bytes || bytes->empty() || !Http2Session::receive(*bytes)) return false;
    }
    return true;
  }

 protected:
  std::shared_ptr<StreamHandler> on_request_head(StreamId, const Headers&, size_t&) override {
    return nullptr;
  }

 private:
  Socket socket_;
  StreamId last_ = 0;
};

/// Frames by hand (RFC 9113 section 4.1; RFC 7541 section 6.2.2).
namespace http2 {

enum Type : uint8_t {
  kData,
  kHeaders,
  kPriority,
  kReset,
  kSettings,
  kPush,
  kPing,
  kGoAway,
  kWindow
};
enum Flag : uint8_t { kEndStream = 1, kAck = 1, kEndHeaders = 4 };

inline constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

inline std::string number(uint64_t value, int bytes) {
  std::string out;
  for (int i = bytes - 1; i >= 0; --i) out += static_cast<char>(value >> (8 * i));
  return out;
}

inline std::string frame(uint8_t type, uint8_t flags, uint32_t stream,
                         std::string_view payload = {}) {
  return number(payload.size(), 3) + number(type, 1) + number(flags, 1) + number(stream, 4) +
         std::string(payload);
}

/// Names and values of less than 127 bytes.
inline std::string block(const Headers& headers) {
  std::string out;
  for (const Header& header : headers) {
    out += '\0';
    out += number(header.name.size(), 1) + header.name;
    out += number(header.value.size(), 1) + header.value;
  }
  return out;
}

inline Headers request(const std::string& path) {
  return {{":method", "POST"},
          {":scheme", "http"},
          {":path", path},
          {":authority", "localhost"},
          {"content-type", "application/grpc"}};
}

inline std::string headers(uint32_t stream, const Headers& headers, uint8_t flags) {
  return frame(kHeaders, flags | kEndHeaders, stream, block(headers));
}

inline std::string message(std::string_view bytes) {
  std::string out;
  grpc_wire::append_prefix(out, bytes.size());
  return out.append(bytes);
}

inline std::string start() {
  return std::string(kPreface) + frame(kSettings, 0, 0);
}

struct Frame {
  uint8_t type = 0;
  uint8_t flags = 0;
  uint32_t stream = 0;
  std::string payload;
};

/// A connection of such frames.
class Connection {
 public:
  explicit Connection(int port) : socket_(port) { send(start()); }

  bool send(std::string_view bytes) { return socket_.send(bytes); }
  void close() { socket_.close(); }
  /// nullopt at the end of the connection.
  std::optional<Frame> receive() {
    std::optional<size_t> whole;
    while (!(whole = complete())) {
      const auto bytes = socket_.receive();
      reset_ = !bytes;
      if (!bytes || bytes->empty()) return std::nullopt;
      buffer_ += *bytes;
    }
    Frame frame{static_cast<uint8_t>(buffer_[3]), static_cast<uint8_t>(buffer_[4]),
                static_cast<uint32_t>(at(5, 4)), buffer_.substr(9, *whole - 9)};
    buffer_.erase(0, *whole);
    return frame;
  }
  /// The first one that is so; what comes before it is thrown away.
  std::optional<Frame> wait(const std::function<bool(const Frame&)>& wanted) {
    for (;;) {
      auto frame = receive();
      if (!frame || wanted(*frame)) return frame;
    }
  }
  /// How the stream ends: with END_STREAM, a reset's code, or nothing.
  struct End {
    bool answered = false;
    std::optional<uint32_t> reset;
  };
  End end_of(uint32_t stream) {
    End end;
    const auto frame = wait([&](const Frame& f) {
      return f.stream == stream &&
             (f.type == kReset || (f.type <= kHeaders && f.flags & kEndStream));
    });
    if (frame && frame->type == kReset) end.reset = static_cast<uint8_t>(frame->payload.back());
    end.answered = frame && !end.reset;
    return end;
  }
  /// A whole health check on `stream`.
  bool alive(uint32_t stream) {
    send(headers(stream, request("/grpc.health.v1.Health/Check"), 0) +
         frame(kData, kEndStream, stream, message("")));
    return end_of(stream).answered;
  }
  /// After the end: the connection was reset, or nothing came for long.
  bool was_reset() const { return reset_; }

 private:
  uint64_t at(size_t offset, size_t bytes) const {
    uint64_t value = 0;
    for (size_t i = 0; i < bytes; ++i)
      value = value << 8 | static_cast<unsigned char>(buffer_[offset + i]);
    return value;
  }
  std::optional<size_t> complete() const {
    if (buffer_.size() < 9) return std::nullopt;
    const size_t whole = 9 + at(0, 3);
    return buffer_.size() < whole ? std::nullopt : std::optional(whole);
  }

  Socket socket_;
  std::string buffer_;
  bool reset_ = false;
};

}  // namespace http2
}  // namespace raymesh::rpc::test
