// raystream_peer as a server: sessions, channels and calls in memory, one connection at a time.
#include "tests/interop/peer_server.hpp"

#include <arpa/inet.h>

#include <map>
#include <vector>

#include "libs/base/encoding.hpp"
#include "libs/raystream/plain_frame.hpp"
#include "libs/raystream/server_handshake.hpp"
#include "libs/raystream/session_id.hpp"
#include "raymesh/raystream/v1/raystream.pb.h"
#include "tests/interop/peer_wire.hpp"

namespace raymesh::raystream {
namespace {

struct Stored {
  std::vector<std::string> secrets;  // the ones that resume it
};

class Server {
 public:
  explicit Server(ServerKeys keys) : keys_(std::move(keys)) {}

  void serve(int fd) {
    Wire wire(fd);
    Session session;
    subscribed_.clear();
    calls_.clear();
    resumed_with_.clear();
    if (shake_hands(wire, session) == Go::kOver) return;
    wire.run([&] { return session.expected(); },
             [&](std::span<char> frame) { return take(wire, session, frame); },
             [&](Refusal refusal) { return end_session(wire, session, refusal); },
             [] { return false; });
  }

 private:
  Go shake_hands(Wire& wire, Session& session) {
    bool done = false;
    ServerHandshake handshake;
    const auto refuse = [&](Refusal refusal) {
      append_plain_close(refusal.code, refusal.why, wire.out);
      return wire.over("us", refusal.code);
    };
    return wire.run([] { return ServerHandshake::expected(); },
                    [&](std::span<char> frame) {
                      if (Refusal refusal = handshake.read({frame.data(), frame.size()}))
                        return refuse(refusal);
                      std::string id = new_session_id(in_five_minutes());
                      if (const auto found = sessions_.find(std::string(handshake.resume_id()));
                          found != sessions_.end())
                        for (const std::string& secret : found->second.secrets)
                          if (handshake.binder_fits(secret)) {
                            id = found->first;
                            resumed_with_ = secret;
                          }
                      const ServerHandshake::Terms terms{id, resumed_with_, in_five_minutes()};
                      if (Refusal refusal = handshake.accept(keys_, terms, wire.out, session))
                        return refuse(refusal);
                      done = true;
                      return Go::kOn;
                    },
                    refuse, [&] { return done; });
  }

  Go take(Wire& wire, Session& session, std::span<char> frame) {
    Incoming in;
    if (Refusal refusal = session.open(frame, in)) return end_session(wire, session, refusal);
    if (in.type != FrameType::kResume && !resumed_with_.empty()) {
      // The next frame after RESUME: the old secret is over.
      sessions_[std::string(session.id())].secrets = {std::string(session.resumption_secret())};
      resumed_with_.clear();
    }
    const Refusal no_message{ErrorCode::kInvalidRequest, "the payload is no message of its type"};
    switch (in.type) {
      case FrameType::kClose:
        return close_received(wire, in);
      case FrameType::kHeartbeat: {
        v1::Heartbeat beat;
        if (!parse(in.payload, beat)) return end_session(wire, session, no_message);
        beat.set_server_time(in_five_minutes());
        return seal(session, FrameType::kHeartbeat, beat, wire.out);
      }
      case FrameType::kResume:
        return parse(in.payload, resume_) ? resume(session, wire.out)
                                          : end_session(wire, session, no_message);
      case FrameType::kSubscribe: {
        v1::Subscribe ask;
        if (!parse(in.payload, ask)) return end_session(wire, session, no_message);
        return subscribe(session, ask, wire.out);
      }
      default: {
        v1::RpcCall call;
        if (!parse(in.payload, call)) return end_session(wire, session, no_message);
        return take_call(session, call, wire.out);
      }
    }
  }

  Go close_received(Wire& wire, const Incoming& in) {
    const CloseReason close = read_close({in.payload.data(), in.payload.size()});
    return wire.over("peer", close.code);
  }

  static Go seal(Session& session, FrameType type, const google::protobuf::MessageLite& message,
                 OutgoingBuffer& out) {
    if (session.seal(type, message, out) != Sent::kOk) die("cannot seal");
    return Go::kOn;
  }

  Go resume(Session& session, OutgoingBuffer& out) {
    sessions_[std::string(session.id())].secrets = {resumed_with_,
                                                    std::string(session.resumption_secret())};
    v1::Resumed answer;
    answer.set_expires_at(in_five_minutes());
    seal(session, FrameType::kResume, answer, out);
    for (const auto& subscription : resume_.subscriptions()) {
      subscribed_[subscription.name()] = subscription.kind();
      replay(session, subscription.name(), count_of(subscription.position()), out);
    }
    return Go::kOn;
  }

  Go subscribe(Session& session, const v1::Subscribe& ask, OutgoingBuffer& out) {
    v1::Subscribed subscribed;
    const size_t now = logs_[ask.name()].size();
    const size_t from = ask.from_position().empty() ? now : count_of(ask.from_position());
    if (ask.on())
      subscribed_[ask.name()] = ask.kind();
    else
      subscribed_.erase(ask.name());
    subscribed.set_position(position_of(from));
    v1::RpcResponse answer;
    answer.set_call_id(ask.call_id());
    answer.set_status(200);
    answer.set_result(subscribed.SerializeAsString());
    seal(session, FrameType::kRpcResponse, answer, out);
    if (ask.on()) replay(session, ask.name(), from, out);
    return Go::kOn;
  }

  void replay(Session& session, const std::string& name, size_t from, OutgoingBuffer& out) {
    const std::vector<std::string>& log = logs_[name];
    for (size_t i = from; i < log.size(); ++i) {
      v1::Event event;
      event.set_kind(subscribed_[name]);
      event.set_name(name);
      event.set_type(v1::Event::MESSAGE);
      event.set_position(position_of(i + 1));
      event.set_data(log[i]);
      seal(session, FrameType::kEvent, event, out);
    }
  }

  Go take_call(Session& session, v1::RpcCall& part, OutgoingBuffer& out) {
    v1::RpcCall& call = calls_.try_emplace(part.call_id()).first->second;
    if (call.call_id() == 0)
      call = part;
    else
      call.mutable_args()->append(part.args());
    if (part.more()) return Go::kOn;
    v1::RpcResponse answer;
    answer.set_call_id(call.call_id());
    answer.set_status(200);
    std::string result = call.args();
    const bool attaches = call.method() == "auth.attach";
    if (attaches) {
      v1::Attach attach;
      if (!attach.ParseFromString(call.args()) || attach.api_key() != "test-key")
        return fail(session, call, v1::UNAUTHORIZED, 401, out);
      v1::Attached attached;
      attached.set_expires_at(in_five_minutes());
      result = attached.SerializeAsString();
      sessions_[std::string(session.id())].secrets = {std::string(session.resumption_secret())};
    } else if (session.phase() == Phase::kOpen && call.method() != "public.echo") {
      return fail(session, call, v1::UNAUTHORIZED, 401, out);
    } else if (call.method() == "emit") {
      logs_["news"].push_back(call.args());
      if (subscribed_.contains("news")) replay(session, "news", logs_["news"].size() - 1, out);
    } else if (call.method() == "metadata") {
      result = call.metadata().at(call.args());
    } else if (call.method() != "echo" && call.method() != "public.echo") {
      return fail(session, call, v1::NOT_FOUND, 404, out);
    }
    calls_.erase(answer.call_id());
    seal_parts<v1::RpcResponse>(
        FrameType::kRpcResponse, answer, result,
        [](v1::RpcResponse& message, std::string_view bytes) {
          message.set_result(std::string(bytes));
        },
        session, out);
    if (attaches) session.attached();
    return Go::kOn;
  }

  Go fail(Session& session, const v1::RpcCall& call, v1::ErrorCode code, int status,
          OutgoingBuffer& out) {
    v1::RpcError error;
    error.set_call_id(call.call_id());
    error.set_error_code(code);
    error.set_status(status);
    error.set_code("Refused");
    error.set_error_message("\"" + call.method() + "\" is refused");
    calls_.erase(error.call_id());
    return seal(session, FrameType::kRpcError, error, out);
  }

  ServerKeys keys_;
  std::map<std::string, Stored> sessions_;
  std::map<std::string, std::vector<std::string>> logs_;
  // Of the connection that is served:
  std::map<std::string, v1::StreamKind> subscribed_;
  std::map<uint64_t, v1::RpcCall> calls_;
  v1::Resume resume_;
  std::string resumed_with_;
};

}  // namespace

void serve(const std::string& key) {
  const size_t colon = key.find(':');
  const auto seed = hex_decode(key.substr(colon + 1));
  if (!seed) die("the key is ID:SEED");
  const std::string pair[] = {key.substr(0, colon) + ":" + base64url_encode(*seed)};
  auto keys = ServerKeys::parse(pair);
  if (!keys) die("the key is not one");
  const int listener = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  if (bind(listener, reinterpret_cast<sockaddr*>(&address), size) != 0 ||
      listen(listener, 16) != 0 ||
      getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size) != 0)
    die("cannot listen");
  say("port " + std::to_string(ntohs(address.sin_port)));
  Server server(std::move(*keys));
  for (;;) {
    const int fd = accept(listener, nullptr, nullptr);
    if (fd < 0) die("cannot accept");
    server.serve(fd);
  }
}

}  // namespace raymesh::raystream
