// The part of Connection that deals with its opening: the request, the token, being counted,
// joining the channels that the token names, and leaving them again.
#include <algorithm>
#include <charconv>

#include "libs/net/websocket/deflate_offer.hpp"
#include "libs/net/websocket/upgrade.hpp"
#include "services/realtime/connection.hpp"
#include "services/realtime/event_encoder.hpp"
#include "services/realtime/shard.hpp"

namespace raymesh::realtime {

namespace ws = net::websocket;

namespace {

constexpr std::string_view kV1 = "raymesh.realtime.v1";
constexpr std::string_view kV1Proto = "raymesh.realtime.v1.proto";
constexpr std::string_view kEventsPath = "/sse";
constexpr std::string_view kLinesPath = "/stream";

/// Why exactly a token is not taken is for nobody outside to know.
Error token_error(const Error& error) {
  if (error.is(errors::kTokenExpired))
    return Error(errors::kTokenExpired, "the token has expired: mint a new one");
  return Error(errors::kInvalidToken, "the token is missing or not valid");
}

std::string stream_response(Dialect dialect) {
  std::string out = "HTTP/1.1 200 OK\r\nContent-Type: ";
  out += dialect == Dialect::kLines ? "application/x-ndjson" : "text/event-stream";
  // X-Accel-Buffering: nginx passes on what comes at once.
  out +=
      "\r\nCache-Control: no-store\r\nAccess-Control-Allow-Origin: *\r\nX-Accel-Buffering: no\r\n"
      "Connection: close\r\n\r\n";
  return out;
}

/// "<epoch>:<offset>" for each channel, with commas between them. What cannot be read is a position
/// that nothing is recovered from, which the client is told.
std::vector<std::optional<Position>> parse_positions(std::string_view text, size_t channels) {
  std::vector<std::optional<Position>> out(channels);
  if (text.empty()) return out;
  for (auto& position : out) position = Position{};
  for (size_t i = 0; i < channels && !text.empty(); ++i) {
    const size_t comma = text.find(',');
    const std::string_view one = text.substr(0, comma);
    const size_t colon = one.find(':');
    uint64_t offset = 0;
    if (colon != std::string_view::npos) {
      const char* end = one.data() + one.size();
      const auto epoch = parse_epoch(one.substr(0, colon));
      if (epoch && std::from_chars(one.data() + colon + 1, end, offset).ptr == end)
        out[i] = Position{*epoch, offset};
    }
    text = comma == std::string_view::npos ? std::string_view() : text.substr(comma + 1);
  }
  return out;
}

}  // namespace

size_t Connection::read_handshake(std::span<char> data) {
  const NodeContext& node = shard_.node();
  const std::string_view text(data.data(), data.size());
  const size_t head = ws::find_head_end(text, 0);
  if (head == std::string_view::npos || head > node.limits.max_head_bytes) {
    wanted_ = node.limits.max_head_bytes + 1;
    if (data.size() <= node.limits.max_head_bytes) return 0;
    refuse(431, Error(errors::kHeadersTooLarge, "the request head is above " +
                                                    std::to_string(node.limits.max_head_bytes) +
                                                    " bytes"));
    return data.size();
  }
  auto request = ws::parse_upgrade(text.substr(0, head));
  if (!request.ok()) {
    refuse(400, request.error());
    return data.size();
  }
  const bool wants_stream = !request->is_upgrade && request->is_get &&
                            (request->path == kEventsPath || request->path == kLinesPath);
  auto grant = node.tokens.verify(ws::query_value(request->query, "token"), shard_.unix_now());
  if ((!request->is_upgrade && !wants_stream) || request->has_body) {
    refuse(426, Error(errors::kInvalidRequest, "this port speaks WebSocket only"),
           "Upgrade: websocket\r\n");
  } else if (!grant.ok()) {
    refuse(401, token_error(grant.error()));
  } else if (node.revoked.is_revoked(*grant)) {
    refuse(401, Error(errors::kTokenRevoked, "the token was revoked"));
  } else if (wants_stream) {
    open_stream(*request, *std::move(grant));
  } else if (request->key.empty()) {
    refuse(401, Error(errors::kInvalidRequest, "Sec-WebSocket-Key is missing or malformed"));
  } else if (request->version != 13) {
    refuse(426, Error(errors::kInvalidRequest, "only version 13 of WebSocket is spoken here"),
           "Sec-WebSocket-Version: 13\r\n");
  } else {
    open_websocket(*request, *std::move(grant));
  }
  return state_ == State::kRefused ? data.size() : head;
}

void Connection::open_websocket(const ws::UpgradeRequest& request, Grant grant) {
  std::string_view protocol;
  if (ws::has_protocol(request.protocols, kV1)) {
    protocol = kV1;
    dialect_ = Dialect::kJson;
  } else if (ws::has_protocol(request.protocols, kV1Proto)) {
    protocol = kV1Proto;
    dialect_ = Dialect::kProto;
  }
  ws::DeflateAnswer deflate;
  if (shard_.node().limits.compression) deflate = ws::answer_deflate(request.extensions);
  if (deflate.decision == ws::DeflateDecision::kMalformed)
    return refuse(400, Error(errors::kInvalidRequest, "Sec-WebSocket-Extensions is malformed"));
  if (deflate.decision == ws::DeflateDecision::kAccepted) rsv1_ = ws::Rsv1::kCompressed;
  accept_ = ws::accept_response(request.key, protocol, deflate.answer);
  if (dialect_ != Dialect::kDefault) session_ = std::make_unique<Session>();
  admit(std::move(grant));
}

void Connection::open_stream(const ws::UpgradeRequest& request, Grant grant) {
  std::vector<std::string> wanted = ws::query_values(request.query, "channel");
  std::sort(wanted.begin(), wanted.end());
  wanted.erase(std::unique(wanted.begin(), wanted.end()), wanted.end());
  for (const std::string& name : wanted) {
    const Status status = check_channel_name(name, shard_.node().tokens.limits().max_channel_bytes);
    if (!status.ok()) return refuse(400, status.error());
    if (!(grant.allowed(name) & kSubscribe))
      return refuse(
          403, Error(errors::kPermissionDenied, "the token does not allow subscribe on " + name));
  }
  if (wanted.empty()) wanted = grant.named(kSubscribe);
  if (wanted.empty())
    return refuse(400, Error(errors::kInvalidRequest, "channel is required: the token names none"));
  // Before positions are counted: a stream's id has none for them either.
  std::erase_if(wanted, [&](const std::string& name) {
    return shard_.node().revoked.is_channel_revoked(grant, name);
  });
  if (wanted.empty()) return refuse(401, Error(errors::kTokenRevoked, "the channels were revoked"));
  if (wanted.size() > shard_.node().limits.max_connection_channels)
    return refuse(429, Error(errors::kTooManySubscriptions,
                             std::to_string(wanted.size()) + " channels on one stream"));
  dialect_ = request.path == kLinesPath ? Dialect::kLines
             : wanted.size() == 1       ? Dialect::kEvents
                                        : Dialect::kEventsMany;
  accept_ = stream_response(dialect_);
  session_ = std::make_unique<Session>();
  std::string from = request.last_event_id;
  if (from.empty()) from = ws::query_value(request.query, "position");
  session_->since = parse_positions(from, wanted.size());
  session_->wants_presence = ws::query_value(request.query, "presence") == "1";
  session_->channels = std::move(wanted);
  admit(std::move(grant));
}

void Connection::refuse(int status, const Error& error, std::string_view extra_headers) {
  shard_.node().probe.connection_refused();
  leave_channels();
  state_ = State::kRefused;
  backlog_.reset();
  shard_.wheel().arm(*this, shard_.node().limits.close_timeout, shard_.now());
  // Pages of any origin may read why a stream was refused.
  write_bytes(ws::refuse_response(
      status, error, std::string(extra_headers) + "Access-Control-Allow-Origin: *\r\n"));
  if (state_ == State::kRefused) after_write();
}

/// From here on it has a name and waits for others.
void Connection::admit(Grant grant) {
  state_ = State::kJoining;
  expires_at_ = grant.expires_at;
  Member member;
  member.connection = id_;
  member.id = shard_.random_name();
  member.identity = grant.identity;
  member.token_id = grant.id;
  member.key_id = grant.key_id;
  member.user = grant.user;
  member.session = grant.session;
  member.project = grant.project;
  member.issued_at = grant.issued_at;
  member_ = std::make_shared<const Member>(std::move(member));
  if (dialect_ == Dialect::kDefault) {
    // Kept until it has joined.
    session_ = std::make_unique<Session>();
    session_->channels = grant.named(kSubscribe);
  }
  session_->grant = std::move(grant);
  if (!shard_.node().limits.counts_connections) return on_admitted(ok_status());
  shard_.node().broker.admit(member_,
                             [outlets = shard_.node().outlets, member = member_](Status s) {
                               ShardInbox& inbox = *outlets->shards[member->connection.shard()];
                               inbox.post(Command([member, status = std::move(s)](Shard& shard) {
                                 Connection* c = shard.find(member->connection);
                                 if (c && c->state_ == State::kJoining) {
                                   c->on_admitted(status);
                                   c->take_early_input();
                                 } else if (status.ok()) {
                                   shard.node().broker.dismiss(member);
                                 }
                               }));
                             });
}

void Connection::on_admitted(const Status& status) {
  if (!status.ok()) {
    const auto seconds =
        std::chrono::ceil<std::chrono::seconds>(status.error().retry_after).count();
    return refuse(status.error().http_status(), status.error(),
                  "Retry-After: " + std::to_string(std::max<int64_t>(seconds, 1)) + "\r\n");
  }
  admitted_ = shard_.node().limits.counts_connections;
  if (dialect_ == Dialect::kJson || dialect_ == Dialect::kProto) return opened();
  join_named();
}

/// The channels that are subscribed to by opening.
void Connection::join_named() {
  const std::vector<std::string> names = std::move(session_->channels);
  const Grant& grant = session_->grant;
  subscriptions_.reserve(names.size());
  for (size_t i = 0; i < names.size(); ++i) {
    if (shard_.node().revoked.is_channel_revoked(grant, names[i])) continue;
    const uint8_t allowed = grant.allowed(names[i]);
    std::optional<Position> since;
    if (!session_->since.empty() && (allowed & kHistory)) since = session_->since[i];
    const bool watches = session_->wants_presence && (allowed & kPresence);
    if (!join(names[i], member_, watches, allowed, since))
      return refuse(503,
                    Error(errors::kOverloaded, "this node has as many channels as it may have"),
                    "Retry-After: 1\r\n");
  }
  if (dialect_ == Dialect::kDefault) session_.reset();
  joining_ = static_cast<uint16_t>(subscriptions_.size());
  if (joining_ == 0) opened();
}

Connection::Subscription* Connection::join(const std::string& name, const MemberPtr& member,
                                           bool watches, uint8_t allowed,
                                           std::optional<Position> since) {
  publish_batches();  // which go by number
  ChannelPtr channel = shard_.node().channels.pin(member->project, name);
  if (!channel) return nullptr;
  const auto place = std::lower_bound(
      subscriptions_.begin(), subscriptions_.end(), name,
      [](const Subscription& s, const std::string& n) { return s.channel->name() < n; });
  Subscription subscription;
  subscription.channel = std::move(channel);
  subscription.ticket = ++tickets_;
  subscription.watches = watches;
  subscription.may_publish = (allowed & kPublish) != 0;
  const auto it = subscriptions_.insert(place, std::move(subscription));
  renumber(static_cast<size_t>(it - subscriptions_.begin()) + 1);
  tell(*it->channel, Join{member, audience(*it), since, it->ticket});
  return &*it;
}

/// After an insertion or removal before `from`.
void Connection::renumber(size_t from) {
  for (size_t i = from; i < subscriptions_.size(); ++i) {
    const Subscription& s = subscriptions_[i];
    if (s.joined) shard_.renumber(s.channel, audience(s), s.place, static_cast<uint32_t>(i));
  }
}

Connection::Subscription* Connection::find_subscription(std::string_view channel) {
  const auto it = std::lower_bound(
      subscriptions_.begin(), subscriptions_.end(), channel,
      [](const Subscription& s, std::string_view name) { return s.channel->name() < name; });
  return it == subscriptions_.end() || it->channel->name() != channel ? nullptr : &*it;
}

void Connection::on_joined(const Joined& joined) {
  if (state_ != State::kJoining && state_ != State::kOpen) return;
  Subscription* s = find_subscription(joined.channel->name());
  if (!s || s->channel != joined.channel || s->joined || s->ticket != joined.ticket) return;
  const uint64_t command = std::exchange(s->command, 0);
  if (joined.failure) {
    if (state_ == State::kJoining)
      return refuse(joined.failure->http_status(), *joined.failure, "Retry-After: 1\r\n");
    // With the default frames it asked with a new token, and there is no answer but this.
    if (dialect_ == Dialect::kDefault) return close(close::kInternalError);
    leave(number(*s), {});
    return send_error(command, *joined.failure);
  }
  s->joined = true;
  s->at = joined.at;
  shard_.subscribe(s->channel, audience(*s), *this, number(*s));
  if (dialect_ != Dialect::kDefault) {
    v1::Event event;
    event.set_id(command);
    v1::Subscribed& subscribed = *event.mutable_subscribed();
    subscribed.set_channel(joined.channel->name());
    subscribed.set_epoch(epoch_text(joined.at.epoch));
    subscribed.set_offset(joined.at.offset);
    if (joined.recovered) subscribed.set_recovered(*joined.recovered);
    if (joined.member->id != member_->id) subscribed.set_member(joined.member->id);
    subscribed.set_conflated(joined.channel->rule().slow == SlowPolicy::kConflate);
    send_event(event);
    // Sending may have ended the connection, and its subscriptions with it.
    if (!joined.missed.empty() && (state_ == State::kOpen || state_ == State::kJoining)) {
      s->at = joined.last;
      send_missed(joined.missed);
    }
  }
  if (state_ != State::kJoining || --joining_ > 0) return;
  opened();
  take_early_input();
}

void Connection::opened() {
  state_ = State::kOpen;
  shard_.node().probe.connection_opened();
  // Messages may have come for the channels that were joined first; the answer goes before them.
  auto early = std::move(backlog_);
  const std::string answer = std::exchange(accept_, {});
  write_bytes(answer);
  if (early && state_ == State::kOpen) {
    if (!backlog_) backlog_ = std::make_unique<Backlog>();
    backlog_->take(*early);
    flush_backlog();
  }
  if (state_ != State::kOpen) return;
  const NodeLimits& limits = shard_.node().limits;
  if (dialect_ == Dialect::kJson || dialect_ == Dialect::kProto) {
    v1::Event event;
    v1::Welcome& welcome = *event.mutable_welcome();
    welcome.set_connection(member_->id);
    welcome.set_expires_at(expires_at_);
    welcome.set_ping_interval_ms(static_cast<uint32_t>(limits.ping_interval.count()));
    welcome.set_max_message_bytes(limits.max_message_bytes);
    send_event(event);
    if (state_ != State::kOpen) return;
  }
  if (dialect_ == Dialect::kEventsMany) {
    write_position();
    if (state_ != State::kOpen) return;
  }
  if (session_) plan_end();
  // The first ping comes after a random part of the interval: clients that came together are so
  // spread over it.
  ping_at_ = shard_.now() + limits.ping_interval / 2 +
             limits.ping_interval * static_cast<int>(id_.slot() % 64) / 128;
  arm_timer();
}

/// What came behind the request while others were waited for. Not while input is being handled:
/// then it comes by itself.
void Connection::take_early_input() {
  if (state_ != State::kOpen || !input_) return;
  const auto early = std::move(input_);
  take({early->data.get(), early->size});
}

Leave Connection::leaving(std::chrono::milliseconds handover) const {
  return {id_, handover, handover.count() > 0 ? member_->token_id : std::string()};
}

void Connection::leave(size_t index, std::chrono::milliseconds handover) {
  publish_batches();  // which go by number
  const Subscription s = std::move(subscriptions_[index]);
  if (s.joined) shard_.unsubscribe(s.channel, audience(s), s.place);
  tell(*s.channel, leaving(handover));
  shard_.node().channels.unpin(s.channel);
  if (lossy_) lossy_->forget(*s.channel);
  subscriptions_.erase(subscriptions_.begin() + static_cast<std::ptrdiff_t>(index));
  renumber(index);
}

void Connection::leave_channels(std::chrono::milliseconds handover) {
  publish_batches();
  for (Subscription& s : subscriptions_) {
    if (s.joined) shard_.unsubscribe(s.channel, audience(s), s.place);
    tell(*s.channel, leaving(handover));
    shard_.node().channels.unpin(s.channel);
  }
  subscriptions_.clear();
  subscriptions_.shrink_to_fit();
  lossy_.reset();
  if (std::exchange(admitted_, false)) shard_.node().broker.dismiss(member_);
  member_.reset();
  session_.reset();
}

}  // namespace raymesh::realtime
