#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "bench/tools/fan_receiver.hpp"

namespace raymesh::bench {
namespace {

// RFC 6455 section 1.3's sample key: its answer is known, so nothing has to be hashed.
constexpr std::string_view kKey = "dGhlIHNhbXBsZSBub25jZQ==";
constexpr std::string_view kAccept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

bool all_digits(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

bool is_marker(std::string_view m) {
  return m.size() >= kMarkerBytes && m[0] == '#' && m[11] == 't' && m[31] == '#' &&
         all_digits(m.substr(1, 10)) && all_digits(m.substr(12, 19));
}

}  // namespace

std::string make_payload(size_t bytes, uint64_t sequence, int64_t time_ns) {
  char marker[kMarkerBytes + 1];
  std::snprintf(marker, sizeof marker, "#%010llut%019lld#",
                static_cast<unsigned long long>(sequence), static_cast<long long>(time_ns));
  std::string payload = "\"";
  payload += marker;
  payload.resize(std::max(bytes, kMarkerBytes + 2) - 1, 'x');
  payload += '"';
  return payload;
}

std::string upgrade_request(const Target& target, const std::vector<std::string>& headers) {
  std::string r = "GET " + target.path + " HTTP/1.1\r\nHost: " + target.host + ":" +
                  std::to_string(target.port) +
                  "\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: "
                  "13\r\nSec-WebSocket-Key: ";
  r += kKey;
  r += "\r\n";
  for (const auto& h : headers) r += h + "\r\n";
  return r + "\r\n";
}

void append_client_frame(std::string& out, uint8_t opcode, std::string_view payload) {
  out += static_cast<char>(0x80 | opcode);
  if (payload.size() < 126) {
    out += static_cast<char>(0x80 | payload.size());
  } else {
    const int bytes = payload.size() < 65536 ? 2 : 8;
    out += static_cast<char>(0x80 | (bytes == 2 ? 126 : 127));
    for (int i = bytes - 1; i >= 0; --i)
      out += static_cast<char>(uint64_t{payload.size()} >> (8 * i));
  }
  out.append(4, '\0');
  out += payload;
}

std::string fill(std::string text, size_t channel, std::string_view payload) {
  auto replace = [&text](std::string_view what, std::string_view with) {
    for (size_t at = 0; (at = text.find(what, at)) != std::string::npos; at += with.size())
      text.replace(at, what.size(), with);
  };
  replace("{ch}", std::to_string(channel));
  replace("{size}", std::to_string(payload.size()));
  replace("{payload}", payload);
  return text;
}

namespace {

std::string mqtt_packet(uint8_t type, std::string_view body) {
  std::string packet(1, static_cast<char>(type));
  size_t left = body.size();
  do {
    packet += static_cast<char>((left & 127) | (left > 127 ? 128 : 0));
    left >>= 7;
  } while (left > 0);
  return packet.append(body);
}

std::string mqtt_text(std::string_view text) {
  std::string out{static_cast<char>(text.size() >> 8), static_cast<char>(text.size() & 255)};
  return out.append(text);
}

}  // namespace

std::string mqtt_connect(const std::string& client_id) {
  // Level 4, a clean session, keep-alive 0
  return mqtt_packet(0x10,
                     mqtt_text("MQTT") + std::string("\x04\x02\0\0", 4) + mqtt_text(client_id));
}

std::string mqtt_subscribe(const std::string& topic) {
  return mqtt_packet(0x82, std::string("\0\x01", 2) + mqtt_text(topic) + '\0');
}

std::string mqtt_publish(const std::string& topic, std::string_view payload) {
  return mqtt_packet(0x30, mqtt_text(topic).append(payload));
}

namespace {

class WebSocketReceiver final : public FanReceiver {
 public:
  WebSocketReceiver(const FanConfig& config, FanProgress& progress)
      : FanReceiver(config, progress), all_(config.subscribers) {
    for (size_t i = 0; i < all_.size(); ++i)
      all_[i].channel = static_cast<uint32_t>(i % config.channels);
  }
  ~WebSocketReceiver() override {
    for (const Subscriber& s : all_)
      if (s.fd >= 0) close_with_reset(s.fd);
  }

 private:
  struct Subscriber {
    enum class State : uint8_t { kNew, kUpgrading, kGreeting, kOpen, kClosed };
    int fd = -1;
    State state = State::kNew;
    uint32_t channel = 0;
    Order order;
    std::string out;          // the handshake, until it is sent
    std::string in;           // an unfinished frame header or handshake
    uint64_t frame_left = 0;  // payload bytes of the current frame still to come
    uint8_t opcode = 0;
    std::string carry;  // an unfinished marker, or a NATS greeting
  };

  void start(size_t number) override {
    Subscriber& s = all_[number];
    const Target target =
        parse_target(fill(config_.urls[number % config_.urls.size()], s.channel), "ws");
    s.fd = connect_loopback(target.host, target.port);
    s.out = upgrade_request(target, config_.dialect == Dialect::kMqtt
                                        ? std::vector<std::string>{"Sec-WebSocket-Protocol: mqtt"}
                                        : std::vector<std::string>{});
    s.state = Subscriber::State::kUpgrading;
    watch(s.fd, &s);
  }

  void close_subscriber(Subscriber& s) {
    lost(std::exchange(s.fd, -1), s.state == Subscriber::State::kOpen);
    s.state = Subscriber::State::kClosed;
  }

  bool send_pending(Subscriber& s) {
    while (!s.out.empty()) {
      const ssize_t n = send(s.fd, s.out.data(), s.out.size(), MSG_NOSIGNAL);
      if (n < 0) return errno == EAGAIN || errno == ENOTCONN;
      s.out.erase(0, static_cast<size_t>(n));
    }
    return true;
  }

  void take_in(Subscriber& s) {
    s.state = Subscriber::State::kOpen;
    s.carry.clear();
    s.carry.shrink_to_fit();
    s.out.shrink_to_fit();
    opened();
  }

  void on_event(void* subscriber, uint32_t events) override {
    Subscriber& s = *static_cast<Subscriber*>(subscriber);
    if (s.fd < 0) return;
    if ((events & EPOLLOUT) && !send_pending(s)) return close_subscriber(s);
    if ((events & ~EPOLLOUT) == 0) return;
    for (;;) {
      const ssize_t n = recv(s.fd, buffer_.data(), buffer_.size(), 0);
      if (n < 0 && (errno == EAGAIN || errno == ENOTCONN)) return;
      if (n <= 0) return close_subscriber(s);
      consume(s, {buffer_.data(), static_cast<size_t>(n)});
      if (s.fd < 0 || static_cast<size_t>(n) < buffer_.size()) return;
    }
  }

  void consume(Subscriber& s, std::string_view data) {
    if (s.state == Subscriber::State::kUpgrading) {
      s.in += data;
      const size_t end = s.in.find("\r\n\r\n");
      if (end == std::string::npos) return;
      if (s.in.compare(9, 3, "101") != 0 || s.in.find(kAccept) == std::string::npos)
        fail("the upgrade was refused: " + s.in.substr(0, 200));
      const std::string rest = s.in.substr(end + 4);
      s.in.clear();
      s.in.shrink_to_fit();
      if (config_.dialect == Dialect::kPlain) {
        take_in(s);
      } else {
        s.state = Subscriber::State::kGreeting;
        append_client_frame(s.out, 2, greeting(s));
        if (!send_pending(s)) return close_subscriber(s);
      }
      frames(s, rest);
      return;
    }
    frames(s, data);
  }

  std::string greeting(const Subscriber& s) const {
    const std::string channel = "ch" + std::to_string(s.channel);
    if (config_.dialect == Dialect::kMqtt)
      return mqtt_connect("s" + std::to_string(&s - all_.data())) + mqtt_subscribe(channel);
    return "CONNECT {\"verbose\":false,\"pedantic\":false}\r\nSUB " + channel + " 1\r\nPING\r\n";
  }

  // NATS: PONG to our PING; MQTT: CONNACK (4 bytes), then SUBACK (5 bytes).
  bool greeted(const std::string& answer) const {
    if (config_.dialect == Dialect::kNats) return answer.find("PONG") != std::string::npos;
    return answer.size() >= 9 && answer[3] == 0 && static_cast<uint8_t>(answer[4]) == 0x90;
  }

  void frames(Subscriber& s, std::string_view data) {
    while (!data.empty() && s.fd >= 0) {
      if (s.frame_left > 0) {
        const std::string_view piece = data.substr(0, s.frame_left);
        payload(s, piece);
        s.frame_left -= piece.size();
        data.remove_prefix(piece.size());
        continue;
      }
      // Gather the frame's header, which a segment border may cut.
      const size_t kept = s.in.size();
      s.in += data.substr(0, 10);
      const auto byte = [&](size_t i) { return static_cast<uint8_t>(s.in[i]); };
      size_t header = 2;
      if (s.in.size() >= 2) header = (byte(1) & 0x7f) == 126 ? 4 : (byte(1) & 0x7f) == 127 ? 10 : 2;
      if (s.in.size() < header || s.in.size() < 2) return;
      uint64_t length = byte(1) & 0x7f;
      if (header > 2) {
        length = 0;
        for (size_t i = 2; i < header; ++i) length = length << 8 | byte(i);
      }
      s.opcode = byte(0) & 15;
      s.frame_left = length;
      s.in.clear();
      data.remove_prefix(header - kept);
      if (s.opcode == 9) {  // ping
        append_client_frame(s.out, 10, data.substr(0, std::min<size_t>(length, data.size())));
        if (!send_pending(s)) return close_subscriber(s);
      }
    }
  }

  void payload(Subscriber& s, std::string_view piece) {
    if (s.opcode >= 8) return;
    if (s.state == Subscriber::State::kGreeting) {
      s.carry += piece;
      if (greeted(s.carry)) take_in(s);
      return;
    }
    if (config_.dialect == Dialect::kNats && piece == "PING\r\n") {
      append_client_frame(s.out, 2, "PONG\r\n");
      if (!send_pending(s)) close_subscriber(s);
      return;
    }
    if (!s.carry.empty()) {
      const size_t want = kMarkerBytes - s.carry.size();
      s.carry += piece.substr(0, want);
      if (s.carry.size() < kMarkerBytes) return;
      const std::string joined = std::move(s.carry);
      s.carry.clear();
      if (is_marker(joined)) {
        delivered(s.order, joined);
        piece.remove_prefix(std::min(want, piece.size()));
      }
    }
    while (!piece.empty()) {
      const auto* at = static_cast<const char*>(std::memchr(piece.data(), '#', piece.size()));
      if (at == nullptr) return;
      piece.remove_prefix(static_cast<size_t>(at - piece.data()));
      if (piece.size() < kMarkerBytes) {
        s.carry = piece;
        return;
      }
      if (is_marker(piece)) {
        delivered(s.order, piece);
        piece.remove_prefix(kMarkerBytes);
      } else {
        piece.remove_prefix(1);
      }
    }
  }

  std::vector<Subscriber> all_;
};

}  // namespace

std::unique_ptr<FanReceiver> websocket_receiver(const FanConfig& config, FanProgress& progress) {
  return std::make_unique<WebSocketReceiver>(config, progress);
}

}  // namespace raymesh::bench
