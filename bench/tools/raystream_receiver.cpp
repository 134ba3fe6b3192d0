#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <vector>

#include "bench/tools/fan_receiver.hpp"
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

class RaystreamReceiver final : public FanReceiver {
 public:
  RaystreamReceiver(const FanConfig& config, FanProgress& progress)
      : FanReceiver(config, progress), key_(pinned(config.raystream_key)) {
    for (size_t i = 0; i < config.subscribers; ++i) {
      all_.push_back(std::make_unique<Subscriber>(budget_));
      all_.back()->channel = i % config.channels;
    }
  }
  ~RaystreamReceiver() override {
    for (const auto& s : all_)
      if (s->fd >= 0) close_with_reset(s->fd);
  }

 private:
  struct Subscriber {
    explicit Subscriber(raystream::FrameBudget& budget) : frames(budget) {}

    int fd = -1;
    bool open = false;
    size_t channel = 0;
    Order order;
    std::unique_ptr<raystream::ClientHandshake> handshake;
    raystream::Session session;
    raystream::FrameStream frames;
    raystream::OutgoingBuffer out;
  };

  void start(size_t number) override {
    Subscriber& s = *all_[number];
    s.fd = connect_loopback("127.0.0.1", config_.raystream_port);
    s.handshake =
        std::make_unique<raystream::ClientHandshake>(raystream::ClientOptions{.pinned = {key_}});
    s.handshake->start(nullptr, s.out);
    watch(s.fd, &s);
  }

  void lose(Subscriber& s) {
    if (!s.open) fail("the gateway has closed a connection that was being opened");
    lost(std::exchange(s.fd, -1), true);
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

  void on_event(void* subscriber, uint32_t events) override {
    Subscriber& s = *static_cast<Subscriber*>(subscriber);
    if (s.fd < 0) return;
    if ((events & EPOLLOUT) && !send_pending(s)) return lose(s);
    if ((events & ~EPOLLOUT) == 0) return;
    for (;;) {
      const ssize_t n = recv(s.fd, buffer_.data(), buffer_.size(), 0);
      if (n < 0 && (errno == EAGAIN || errno == ENOTCONN)) return;
      if (n <= 0) return lose(s);
      take(s, {buffer_.data(), static_cast<size_t>(n)});
      if (!send_pending(s)) return lose(s);
      if (static_cast<size_t>(n) < buffer_.size()) return;
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
    attach.set_api_key(config_.api_key);
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
      opened();
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
    delivered(s.order, data.substr(1));
  }

  const raystream::PinnedKey key_;
  raystream::FrameBudget budget_{size_t{1} << 30};
  std::vector<std::unique_ptr<Subscriber>> all_;
};

}  // namespace

std::unique_ptr<FanReceiver> raystream_receiver(const FanConfig& config, FanProgress& progress) {
  return std::make_unique<RaystreamReceiver>(config, progress);
}

}  // namespace raymesh::bench
