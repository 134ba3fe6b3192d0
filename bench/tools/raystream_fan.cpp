#include "bench/tools/raystream_fan.hpp"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <vector>

#include "libs/base/encoding.hpp"
#include "libs/base/protobuf_fields.hpp"
#include "libs/raystream/client_handshake.hpp"
#include "libs/raystream/frame_stream.hpp"
#include "libs/raystream/session.hpp"
#include "raymesh/raystream/v1/raystream.pb.h"

namespace raymesh::bench {
namespace {

namespace v1 = raymesh::raystream::v1;
using raystream::FrameType;
using raystream::ParseStatus;

constexpr uint64_t kAttach = 1;
constexpr uint64_t kSubscribe = 2;

raystream::PinnedKey pinned(const std::string& text) {
  const size_t colon = text.find(':');
  const auto key = base64url_decode(std::string_view(text).substr(colon + 1));
  raystream::PinnedKey out;
  if (colon == std::string::npos || !key || key->size() != out.key.size())
    fail("--raystream-key is ID:PUBLIC-KEY, as GET /api/v1/raystream/key has them");
  out.id = text.substr(0, colon);
  std::copy(key->begin(), key->end(), out.key.begin());
  return out;
}

uint64_t digits(std::string_view text) {
  uint64_t v = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') fail("an event without a marker came");
    v = v * 10 + static_cast<uint64_t>(c - '0');
  }
  return v;
}

struct Subscriber {
  explicit Subscriber(raystream::FrameBudget& budget) : frames(budget) {}

  int fd = -1;
  bool open = false;
  size_t channel = 0;
  uint64_t next_sequence = 1;  // channels begin at 1, and everybody was there before
  uint64_t skipped = 0;        // sequences below it that have not come
  std::unique_ptr<raystream::ClientHandshake> handshake;
  raystream::Session session;
  raystream::FrameStream frames;
  raystream::OutgoingBuffer out;
};

}  // namespace

struct RaystreamSubscribers::Impl {
  Impl(const FanConfig& c, FanProgress& p, RaystreamSubscribers& o)
      : config(c), progress(p), owner(o), key(pinned(c.raystream_key)) {
    for (size_t i = 0; i < c.subscribers; ++i) {
      all.push_back(std::make_unique<Subscriber>(budget));
      all.back()->channel = i % c.channels;
    }
  }
  ~Impl() {
    // With a reset, as FanSubscribers.
    const linger none{1, 0};
    for (const auto& s : all) {
      if (s->fd < 0) continue;
      setsockopt(s->fd, SOL_SOCKET, SO_LINGER, &none, sizeof none);
      close(s->fd);
    }
    close(epoll);
  }

  void start(Subscriber& s) {
    s.fd = connect_loopback("127.0.0.1", config.raystream_port);
    s.handshake =
        std::make_unique<raystream::ClientHandshake>(raystream::ClientOptions{.pinned = {key}});
    s.handshake->start(nullptr, s.out);
    epoll_event e{};
    e.events = EPOLLIN | EPOLLOUT | EPOLLET;
    e.data.ptr = &s;
    epoll_ctl(epoll, EPOLL_CTL_ADD, s.fd, &e);
    ++handshakes;
  }

  void lose(Subscriber& s) {
    if (!s.open) fail("the gateway has closed a connection that was being opened");
    ++owner.closed;
    --open;
    close(s.fd);
    s.fd = -1;
  }

  bool send_pending(Subscriber& s) {
    while (!s.out.empty()) {
      const auto bytes = s.out.bytes();
      const ssize_t n = ::send(s.fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n < 0) return errno == EAGAIN || errno == ENOTCONN;
      s.out.consumed(static_cast<size_t>(n));
    }
    return true;
  }

  static void send(Subscriber& s, FrameType type, const google::protobuf::MessageLite& message) {
    if (s.session.seal(type, message, s.out) != raystream::Sent::kOk) fail("a frame was not sent");
  }

  void on_event(Subscriber& s, uint32_t events) {
    if (s.fd < 0) return;
    if ((events & EPOLLOUT) && !send_pending(s)) return lose(s);
    if ((events & ~EPOLLOUT) == 0) return;
    for (;;) {
      const ssize_t n = recv(s.fd, buffer.data(), buffer.size(), 0);
      if (n < 0 && (errno == EAGAIN || errno == ENOTCONN)) return;
      if (n <= 0) return lose(s);
      take(s, {buffer.data(), static_cast<size_t>(n)});
      if (!send_pending(s)) return lose(s);
      if (static_cast<size_t>(n) < buffer.size()) return;
    }
  }

  void take(Subscriber& s, std::span<char> bytes) {
    s.frames.feed(bytes);
    for (;;) {
      const auto next = s.frames.next(s.handshake ? raystream::ClientHandshake::expected()
                                                  : s.session.expected());
      if (next.status == ParseStatus::kNeedMore) return;
      if (next.status == ParseStatus::kRefused) fail("a frame is refused");
      if (s.handshake)
        shake_hands(s, next.frame);
      else
        take_frame(s, next.frame);
    }
  }

  void shake_hands(Subscriber& s, std::span<char> frame) {
    if (s.handshake->read({frame.data(), frame.size()}, s.session)) fail("no handshake");
    s.handshake.reset();
    v1::Attach attach;
    attach.set_api_key(config.api_key);
    v1::RpcCall call;
    call.set_call_id(kAttach);
    call.set_method("auth.attach");
    call.set_args(attach.SerializeAsString());
    send(s, FrameType::kRpcCall, call);
  }

  void take_frame(Subscriber& s, std::span<char> frame) {
    raystream::Incoming in;
    if (s.session.open(frame, in)) fail("a frame could not be opened");
    const std::string_view payload(in.payload.data(), in.payload.size());
    if (in.type == FrameType::kEvent) return take_event(s, payload);
    v1::RpcResponse answer;
    if (in.type != FrameType::kRpcResponse ||
        !answer.ParseFromArray(payload.data(), static_cast<int>(payload.size())))
      fail("not attached or subscribed");
    if (answer.call_id() == kSubscribe) {
      s.open = true;
      --handshakes;
      ++open;
      return;
    }
    s.session.attached();
    v1::Subscribe subscribe;
    subscribe.set_call_id(kSubscribe);
    subscribe.set_kind(v1::CHANNEL);
    subscribe.set_name("ch" + std::to_string(s.channel));
    subscribe.set_on(true);
    subscribe.set_batches(true);
    send(s, FrameType::kSubscribe, subscribe);
  }

  void take_event(Subscriber& s, std::string_view payload) {
    std::string_view data;
    bool is_message = false;
    ProtobufFields fields(payload);
    bool counted = false;
    while (fields.next()) {
      if (fields.is_number(v1::Event::kTypeFieldNumber))
        is_message = fields.value() == v1::Event::MESSAGE;
      if (fields.is_text(v1::Event::kDataFieldNumber)) data = fields.text();
      if (!fields.is_text(v1::Event::kMoreFieldNumber)) continue;
      // They stand behind the fields of the first one.
      if (!std::exchange(counted, true)) count(s, is_message, data);
      take_event(s, fields.text());
    }
    if (!counted) count(s, is_message, data);
  }

  void count(Subscriber& s, bool is_message, std::string_view data) {
    if (!is_message || data.size() < kMarkerBytes + 2) fail("an event that is no message came");
    const uint64_t sequence = digits(data.substr(2, 10));
    if (sequence < s.next_sequence && s.skipped == 0) {
      ++owner.duplicates;
      return;
    }
    if (sequence < s.next_sequence) {
      --s.skipped;
      ++owner.reordered;
    } else {
      s.skipped += sequence - s.next_sequence;
      s.next_sequence = sequence + 1;
    }
    if (measuring) {
      if (now == 0) now = now_ns();
      owner.latency.record(now - static_cast<int64_t>(digits(data.substr(13, 19))));
    }
    ++batch;
  }

  void poll(int timeout_ms) {
    epoll_event events[512];
    const int n = epoll_wait(epoll, events, 512, timeout_ms);
    for (int i = 0; i < n; ++i) {
      now = 0;
      on_event(*static_cast<Subscriber*>(events[i].data.ptr), events[i].events);
      if (batch == 0) continue;
      progress.delivered.fetch_add(batch, std::memory_order_seq_cst);
      batch = 0;
      if (progress.publisher_waits.load(std::memory_order_seq_cst)) {
        progress.wake.fetch_add(1, std::memory_order_release);
        progress.wake.notify_one();
      }
    }
  }

  const FanConfig& config;
  FanProgress& progress;
  RaystreamSubscribers& owner;
  const raystream::PinnedKey key;
  int epoll = epoll_create1(EPOLL_CLOEXEC);
  raystream::FrameBudget budget{size_t{1} << 30};
  std::vector<std::unique_ptr<Subscriber>> all;
  std::vector<char> buffer = std::vector<char>(size_t{256} << 10);
  int handshakes = 0;
  int open = 0;
  uint64_t batch = 0;
  int64_t now = 0;
  bool measuring = false;
};

RaystreamSubscribers::RaystreamSubscribers(const FanConfig& config, FanProgress& progress)
    : impl_(std::make_unique<Impl>(config, progress, *this)) {}
RaystreamSubscribers::~RaystreamSubscribers() = default;

size_t RaystreamSubscribers::connect_all(double timeout_s) {
  const int64_t until = now_ns() + static_cast<int64_t>(timeout_s * 1e9);
  size_t next = 0;
  while (static_cast<size_t>(impl_->open) < impl_->all.size() && now_ns() < until) {
    while (next < impl_->all.size() &&
           static_cast<size_t>(impl_->handshakes) < impl_->config.handshakes)
      impl_->start(*impl_->all[next++]);
    impl_->poll(50);
  }
  return static_cast<size_t>(impl_->open);
}

void RaystreamSubscribers::receive(double seconds, uint64_t until_delivered) {
  const int64_t until = now_ns() + static_cast<int64_t>(seconds * 1e9);
  while (now_ns() < until &&
         impl_->progress.delivered.load(std::memory_order_relaxed) < until_delivered)
    impl_->poll(20);
}

void RaystreamSubscribers::receive_rest(uint64_t until_delivered, double quiet_s) {
  const auto delivered = [this] { return impl_->progress.delivered.load(); };
  for (uint64_t before = UINT64_MAX; delivered() < until_delivered && delivered() != before;) {
    before = delivered();
    receive(quiet_s, until_delivered);
  }
}

void RaystreamSubscribers::start_measuring() {
  latency.clear();
  impl_->measuring = true;
}

}  // namespace raymesh::bench
