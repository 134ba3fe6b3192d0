// raystream_peer as a client: the steps of a plan, each awaited before the next.
#include "tests/interop/peer_client.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <optional>

#include "libs/base/encoding.hpp"
#include "libs/raystream/client_handshake.hpp"
#include "raymesh/raystream/v1/raystream.pb.h"
#include "tests/interop/peer_wire.hpp"

namespace raymesh::raystream {
namespace {

struct Plan {
  uint16_t port = 0;
  ClientOptions options;
  size_t calls = 1;
  size_t size = 16;
  size_t events = 0;
  std::string subscribe;
  bool resume = false;
};

class Client {
 public:
  explicit Client(const Plan& plan) : plan_(plan) {}

  bool run() {
    std::optional<Resumption> resume;
    if (!once(nullptr, &resume)) return false;
    if (!plan_.resume) return true;
    return once(&*resume, &resume);
  }

 private:
  /// One connection: handshake, attach or resume, calls; then a normal end, or a drop when the
  /// session is to be resumed.
  bool once(const Resumption* from, std::optional<Resumption>* keep) {
    Wire wire(connect_to(plan_.port));
    Session session;
    if (shake_hands(wire, session, from) == Go::kOver) return false;
    *keep = Resumption{std::string(session.id()), crypto::Secret(session.resumption_secret())};
    const auto step = [&](const std::function<bool()>& until) {
      return wire.run([&] { return session.expected(); },
                      [&](std::span<char> frame) { return take(wire, session, frame); },
                      [&](Refusal refusal) { return end_session(wire, session, refusal); },
                      until) == Go::kOn;
    };
    if (from != nullptr) {
      v1::Resume resume;
      if (!plan_.subscribe.empty()) {
        auto* subscription = resume.add_subscriptions();
        subscription->set_kind(v1::CHANNEL);
        subscription->set_name(plan_.subscribe);
        subscription->set_position(position_);
      }
      if (session.seal(FrameType::kResume, resume, wire.out) != Sent::kOk) die("cannot seal");
      if (!step([&] { return session.phase() == Phase::kAttached; })) return false;
      say("resumed");
    } else {
      v1::Attach attach;
      attach.set_api_key("test-key");
      call("auth.attach", attach.SerializeAsString(), session, wire.out);
      if (!step([&] { return open_ == 0; })) return false;
      say("attached");
      if (!plan_.subscribe.empty() && !subscribe(session, wire.out, step)) return false;
    }
    // No more than 32 calls or 4 MB are under way, so that neither end fills the other's socket.
    const size_t window = std::min<size_t>(32, 1 + (size_t{4} << 20) / (plan_.size + 1));
    for (size_t i = 0; i < plan_.calls; ++i) {
      if (!step([&] { return open_ < window; })) return false;
      call("echo", text_of(plan_.size), session, wire.out);
    }
    if (!step([&] { return open_ == 0; })) return false;
    say("calls " + std::to_string(plan_.calls));
    if (!plan_.subscribe.empty()) {
      const size_t expected = plan_.events * (from != nullptr ? 2 : 1);
      if (!step([&] { return events_ >= expected; })) return false;
      say("events " + std::to_string(events_));
    }
    if (plan_.resume && from == nullptr) return true;
    session.close(ErrorCode::kNone, "", wire.out);
    wire.flush();
    say("closed");
    return true;
  }

  static int connect_to(uint16_t port) {
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port);
    if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
      die("cannot connect");
    return fd;
  }

  Go shake_hands(Wire& wire, Session& session, const Resumption* from) {
    bool done = false;
    ClientHandshake handshake(plan_.options);
    handshake.start(from, wire.out);
    // What a client refuses ends the connection without a word.
    const auto refuse = [&](Refusal refusal) {
      if (const CloseReason* close = handshake.refused_by_server())
        return wire.over("peer", close->code);
      return wire.over("us", refusal.code);
    };
    return wire.run([] { return ClientHandshake::expected(); },
                    [&](std::span<char> frame) {
                      if (Refusal refusal = handshake.read({frame.data(), frame.size()}, session))
                        return refuse(refusal);
                      if (handshake.resumed() != (from != nullptr))
                        die("resumed, or not, against the plan");
                      say("ready " + std::string(name_of(session.cipher())));
                      done = true;
                      return Go::kOn;
                    },
                    refuse, [&] { return done; });
  }

  template <typename Step>
  bool subscribe(Session& session, OutgoingBuffer& out, const Step& step) {
    v1::Subscribe ask;
    ask.set_call_id(++last_call_);
    ask.set_kind(v1::CHANNEL);
    ask.set_name(plan_.subscribe);
    ask.set_on(true);
    expected_[last_call_] = std::nullopt;
    ++open_;
    if (session.seal(FrameType::kSubscribe, ask, out) != Sent::kOk) die("cannot seal");
    return step([&] { return open_ == 0; });
  }

  static std::string text_of(size_t size) {
    std::string text(size, '\0');
    for (size_t i = 0; i < size; ++i) text[i] = static_cast<char>(i * 31);
    return text;
  }

  void call(const std::string& method, const std::string& args, Session& session,
            OutgoingBuffer& out) {
    v1::RpcCall call;
    call.set_call_id(++last_call_);
    call.set_method(method);
    if (method == "echo")
      expected_[last_call_] = args;
    else
      expected_[last_call_] = std::nullopt;
    ++open_;
    seal_parts<v1::RpcCall>(
        FrameType::kRpcCall, call, args,
        [](v1::RpcCall& message, std::string_view bytes) { message.set_args(std::string(bytes)); },
        session, out);
  }

  Go take(Wire& wire, Session& session, std::span<char> frame) {
    Incoming in;
    if (Refusal refusal = session.open(frame, in)) return end_session(wire, session, refusal);
    const Refusal no_message{ErrorCode::kInvalidRequest, "the payload is no message of its type"};
    switch (in.type) {
      case FrameType::kClose:
        return wire.over("peer", read_close({in.payload.data(), in.payload.size()}).code);
      case FrameType::kRpcResponse: {
        v1::RpcResponse answer;
        if (!parse(in.payload, answer)) return end_session(wire, session, no_message);
        return take_answer(session, answer);
      }
      case FrameType::kRpcError: {
        v1::RpcError error;
        if (!parse(in.payload, error)) return end_session(wire, session, no_message);
        die("the server answers " + error.error_message());
      }
      case FrameType::kEvent: {
        v1::Event event;
        if (!parse(in.payload, event)) return end_session(wire, session, no_message);
        if (count_of(event.position()) != count_of(position_) + 1) die("an event out of order");
        position_ = event.position();
        ++events_;
        return Go::kOn;
      }
      default:
        return Go::kOn;
    }
  }

  Go take_answer(Session& session, const v1::RpcResponse& answer) {
    result_ += answer.result();
    if (answer.more()) return Go::kOn;
    const auto found = expected_.find(answer.call_id());
    if (found == expected_.end()) die("an answer to nothing");
    if (found->second && *found->second != result_) die("another answer than was expected");
    if (session.phase() == Phase::kOpen) session.attached();
    if (position_.empty() && !plan_.subscribe.empty()) {
      v1::Subscribed subscribed;
      if (subscribed.ParseFromString(result_)) position_ = subscribed.position();
    }
    result_.clear();
    expected_.erase(found);
    --open_;
    return Go::kOn;
  }

  const Plan& plan_;
  uint64_t last_call_ = 0;
  size_t open_ = 0;
  size_t events_ = 0;
  std::map<uint64_t, std::optional<std::string>> expected_;
  std::string result_;  // of the answer whose parts are coming; the test's server answers in order
  std::string position_;
};

size_t number(std::string_view text) {
  size_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size())
    die("not a number: " + std::string(text));
  return value;
}

}  // namespace

bool call(const std::vector<std::string>& args) {
  Plan plan;
  plan.port = static_cast<uint16_t>(number(args[0]));
  const size_t colon = args[1].find(':');
  const auto key = hex_decode(args[1].substr(colon + 1));
  if (!key || key->size() != crypto::kEd25519PublicBytes) die("the key is ID:PUBLIC");
  PinnedKey pin{args[1].substr(0, colon), {}};
  std::copy(key->begin(), key->end(), pin.key.begin());
  plan.options.pinned.push_back(pin);
  for (size_t i = 2; i < args.size(); ++i) {
    const size_t at = args[i].find('=');
    const std::string name = args[i].substr(0, at);
    const std::string value = args[i].substr(at + 1);
    if (name == "cipher") {
      const auto cipher = cipher_of(value);
      if (!cipher) die("no such cipher");
      plan.options.ciphers = {*cipher};
    } else if (name == "subscribe") {
      plan.subscribe = value;
    } else if (name == "calls") {
      plan.calls = number(value);
    } else if (name == "size") {
      plan.size = number(value);
    } else if (name == "events") {
      plan.events = number(value);
    } else if (name == "resume") {
      plan.resume = number(value) != 0;
    } else {
      die("no such option: " + name);
    }
  }
  return Client(plan).run();
}

}  // namespace raymesh::raystream
