// The part of Connection that does what its client asks for: the commands of raymesh.realtime.v1,
// new tokens in both protocols, and what a revocation takes away.
#include <algorithm>

#include "services/realtime/channel_members.hpp"
#include "services/realtime/client_command.hpp"
#include "services/realtime/connection.hpp"
#include "services/realtime/event_encoder.hpp"
#include "services/realtime/shard.hpp"

namespace raymesh::realtime {
namespace {

constexpr uint32_t kDefaultPage = 100;
constexpr uint32_t kMaxPage = 10'000;
constexpr size_t kMaxCursor = 256;
constexpr uint8_t kMaxReads = 4;  // of one connection, under way at once: a page may be large
constexpr size_t kMaxOpenBatches = 64;

size_t page_size(uint32_t limit) {
  return std::min(limit == 0 ? kDefaultPage : limit, kMaxPage);
}

/// For answers that come on any thread: runs `use` with the connection on its shard, if it is
/// there.
template <class Use>
void later(const std::shared_ptr<ChannelOutlets>& outlets, ConnectionId id, Use use) {
  outlets->shards[id.shard()]->post(Command([id, use = std::move(use)](Shard& shard) mutable {
    Connection* c = shard.find(id);
    if (c && c->is_open()) use(*c);
  }));
}

}  // namespace

void Connection::send_event(const v1::Event& event) {
  std::string frame;
  append_event(frame, dialect_, event);
  if (frame.empty() || state_ == State::kDead) return;
  if (state_ == State::kOpen) return write_bytes(frame);
  // Before it is open, what is to be sent waits for the answer to the request.
  const Span span = Span::copy(frame, shard_.node().outlets->memory);
  send({&span, 1});
}

void Connection::send_error(uint64_t id, const Error& error) {
  v1::Event event;
  event.set_id(id);
  event.mutable_error()->set_code(std::string(error.code()));
  event.mutable_error()->set_error(error.message);
  send_event(event);
}

void Connection::run_commands(bool is_text, std::span<char> payload) {
  const std::string_view bytes(payload.data(), payload.size());
  if (is_text != (dialect_ == Dialect::kJson)) return close(close::kPolicyViolation);
  auto parsed = is_text ? parse_json_commands(bytes) : parse_proto_commands(bytes);
  // What is no command at all, or none, counts as one.
  const size_t count = parsed.ok() ? std::max<size_t>(parsed->size(), 1) : 1;
  const NodeContext& node = shard_.node();
  for (size_t i = 0; i < count; ++i)
    if (!rate_.take(node.limits.publish_rate, node.limits.publish_rate, shard_.now()))
      return close(close::kRateLimited);
  if (!parsed.ok()) return send_error(0, parsed.error());
  for (const ParsedCommand& p : *parsed) {
    if (p.problem.empty()) {
      run(p.command);
    } else {
      send_error(p.command.id(), Error(errors::kInvalidRequest, p.problem));
    }
    if (state_ != State::kOpen) return;
  }
}

void Connection::run(const v1::Command& command) {
  const uint64_t id = command.id();
  switch (command.command_case()) {
    case v1::Command::kSubscribe:
      return subscribe(id, command.subscribe());
    case v1::Command::kUnsubscribe:
      return unsubscribe(id, command.unsubscribe().channel(), {});
    case v1::Command::kPublish:
      return publish(id, command.publish());
    case v1::Command::kPresence:
      return read_members(id, command.presence());
    case v1::Command::kHistory:
      return read_history(id, command.history());
    case v1::Command::kRefresh:
      return refresh(id, command.refresh().token());
    case v1::Command::kPing: {
      v1::Event event;
      event.set_id(id);
      event.mutable_pong();
      return send_event(event);
    }
    case v1::Command::COMMAND_NOT_SET:
      break;
  }
}

bool Connection::may(uint64_t id, const std::string& channel, Permission permission,
                     std::string_view what) {
  const NodeContext& node = shard_.node();
  const Status name = check_channel_name(channel, node.tokens.limits().max_channel_bytes);
  if (!name.ok()) {
    send_error(id, name.error());
    return false;
  }
  if ((session_->grant.allowed(channel) & permission) &&
      !node.revoked.is_channel_revoked(session_->grant, channel))
    return true;
  send_error(id, Error(errors::kPermissionDenied,
                       "the token does not allow " + std::string(what) + " on " + channel));
  return false;
}

void Connection::subscribe(uint64_t id, const v1::Subscribe& command) {
  const std::string& channel = command.channel();
  if (!may(id, channel, kSubscribe, "subscribe")) return;
  if (command.presence() && !may(id, channel, kPresence, "presence")) return;
  if (find_subscription(channel))
    return send_error(id, Error(errors::kAlreadySubscribed,
                                "the connection is subscribed to " + channel + " already"));
  const size_t limit = shard_.node().limits.max_connection_channels;
  if (subscriptions_.size() >= limit)
    return send_error(
        id, Error(errors::kTooManySubscriptions,
                  "a connection may be subscribed to " + std::to_string(limit) + " channels"));
  const uint8_t allowed = session_->grant.allowed(channel);
  std::optional<Position> since;
  if (command.has_position() && (allowed & kHistory))
    since =
        Position{parse_epoch(command.position().epoch()).value_or(0), command.position().offset()};
  MemberPtr member = member_;
  if (!command.data_json().empty()) {
    auto with_data = std::make_shared<Member>(*member_);
    with_data->data = command.data_json();
    member = std::move(with_data);
  }
  Subscription* s = join(channel, member, command.presence(), allowed, since);
  if (!s)
    return send_error(id,
                      Error(errors::kOverloaded, "this node has as many channels as it may have"));
  s->command = id;
}

void Connection::unsubscribe(uint64_t id, const std::string& channel, std::string_view reason) {
  const Subscription* s = find_subscription(channel);
  if (!s)
    return send_error(
        id, Error(errors::kNotSubscribed, "the connection is not subscribed to " + channel));
  leave(number(*s), {});
  if (id == 0 && reason.empty()) return;
  v1::Event event;
  event.set_id(id);
  event.mutable_unsubscribed()->set_channel(channel);
  event.mutable_unsubscribed()->set_reason(std::string(reason));
  send_event(event);
}

/// Publishes of one read are one batch for each channel, as with the default frames.
void Connection::publish(uint64_t id, const v1::Publish& command) {
  const std::string& channel = command.channel();
  if (!may(id, channel, kPublish, "publish")) return;
  if (shard_.node().overloaded()) {
    shard_.node().probe.publish_refused();
    return send_error(
        id, Error(errors::kOverloaded, "too much is waiting to be sent to subscribers; try again"));
  }
  auto& batches = shard_.open_batches();
  auto it = std::find_if(batches.begin(), batches.end(),
                         [&](const Shard::OpenBatch& b) { return b.channel == channel; });
  if (it == batches.end()) {
    if (batches.size() == kMaxOpenBatches) publish_batches();
    Shard::OpenBatch open;
    open.channel = channel;
    open.batch = std::make_shared<PublishBatch>();
    it = batches.insert(batches.end(), std::move(open));
  }
  if (id != 0) it->acks.push_back({static_cast<uint32_t>(it->batch->count()), id});
  it->batch->add(command.payload_json());
  if (it->batch->bytes() > kMaxBatchBytes) publish_batches();
}

void Connection::on_published(const std::string& channel, const std::vector<PublishAck>& acks,
                              size_t count, const Result<Published>& published) {
  for (const PublishAck& ack : acks) {
    if (state_ != State::kOpen) return;
    if (!published.ok()) {
      send_error(ack.id, published.error());
      continue;
    }
    v1::Event event;
    event.set_id(ack.id);
    v1::PublishedAt& at = *event.mutable_published();
    at.set_channel(channel);
    if (published->last) {
      at.set_epoch(epoch_text(published->last.epoch));
      at.set_offset(published->last.offset - (count - 1 - ack.index));
    }
    at.set_delivered(published->delivered);
    send_event(event);
  }
}

/// Whether one more page may be on its way to this client; counts it.
bool Connection::begin_read(uint64_t id) {
  if (reads_ == kMaxReads) {
    send_error(id, Error(errors::kOverloaded,
                         "at most " + std::to_string(kMaxReads) +
                             " reads of presence and history may wait for their answers"));
    return false;
  }
  ++reads_;
  return true;
}

void Connection::read_members(uint64_t id, const v1::ReadMembers& command) {
  const std::string& channel = command.channel();
  if (!may(id, channel, kPresence, "presence")) return;
  if (command.cursor().size() > kMaxCursor)
    return send_error(id, Error(errors::kInvalidRequest, "the cursor is none of this API's"));
  if (!begin_read(id)) return;
  const NodeContext& node = shard_.node();
  node.broker.presence(member_->project, channel, node.channels.find(member_->project, channel),
                       {page_size(command.limit()), command.cursor()},
                       [outlets = node.outlets, me = id_, id, channel](Result<PresencePage> page) {
                         later(outlets, me, [id, channel, page = std::move(page)](Connection& c) {
                           --c.reads_;
                           if (!page.ok()) return c.send_error(id, page.error());
                           v1::Event event;
                           event.set_id(id);
                           v1::Members& members = *event.mutable_presence();
                           members.set_channel(channel);
                           members.set_members_json(page->members_json);
                           members.set_count(page->count);
                           members.set_identities(page->identities);
                           members.set_next(page->next);
                           c.send_event(event);
                         });
                       });
}

void Connection::read_history(uint64_t id, const v1::ReadHistory& command) {
  const std::string& channel = command.channel();
  if (!may(id, channel, kHistory, "history") || !begin_read(id)) return;
  Position since;
  if (command.has_position())
    since = {parse_epoch(command.position().epoch()).value_or(0), command.position().offset()};
  const NodeContext& node = shard_.node();
  node.broker.history(member_->project, channel, node.channels.find(member_->project, channel),
                      since, page_size(command.limit()),
                      [outlets = node.outlets, me = id_, id, channel](Result<HistoryPage> page) {
                        later(outlets, me, [id, channel, page = std::move(page)](Connection& c) {
                          --c.reads_;
                          if (!page.ok()) return c.send_error(id, page.error());
                          v1::Event event;
                          event.set_id(id);
                          v1::HistoryRead& read = *event.mutable_history();
                          read.set_channel(channel);
                          if (page->latest) read.set_epoch(epoch_text(page->latest.epoch));
                          read.set_offset(page->latest.offset);
                          for (const StoredMessage& message : page->messages) {
                            v1::PastMessage& past = *read.add_messages();
                            past.set_offset(message.offset);
                            past.set_payload_json(message.payload);
                          }
                          c.send_event(event);
                        });
                      });
}

// ---- tokens ----

void Connection::refresh(uint64_t id, const std::string& token) {
  const NodeContext& node = shard_.node();
  auto grant = node.tokens.verify(token, shard_.unix_now());
  std::string why;
  if (!grant.ok()) {
    why = "the token is not valid";
  } else if (node.revoked.is_revoked(*grant)) {
    why = "the token was revoked";
  } else if (grant->project != member_->project || grant->identity != member_->identity ||
             grant->user != member_->user) {
    why = "the token belongs to another project, identity or user";
  }
  if (!why.empty()) {
    if (dialect_ == Dialect::kDefault) return close(close::kTokenExpired);
    return send_error(id, Error(errors::kInvalidToken, why));
  }
  auto member = std::make_shared<Member>(*member_);
  member->token_id = grant->id;
  member->key_id = grant->key_id;
  member->session = grant->session;
  member->issued_at = grant->issued_at;
  // Counted under the same identity and project, so the broker need not know.
  member_ = std::move(member);
  expires_at_ = grant->expires_at;
  if (dialect_ == Dialect::kDefault) {
    refresh_default(*grant);
  } else {
    refresh_session(*std::move(grant));
  }
  if (state_ != State::kOpen) return;
  arm_timer();
  v1::Event event;
  event.set_id(id);
  event.mutable_refreshed()->set_expires_at(expires_at_);
  send_event(event);
}

/// With the default frames, the channels are those that the token names.
void Connection::refresh_default(const Grant& grant) {
  const std::vector<std::string> names = grant.named(kSubscribe);
  for (size_t i = subscriptions_.size(); i-- > 0;) {
    Subscription& s = subscriptions_[i];
    if (!std::binary_search(names.begin(), names.end(), s.channel->name())) {
      leave(i, {});
    } else {
      s.may_publish = (grant.allowed(s.channel->name()) & kPublish) != 0;
    }
  }
  for (const std::string& name : names)
    if (!find_subscription(name) && !shard_.node().revoked.is_channel_revoked(grant, name) &&
        !join(name, member_, false, grant.allowed(name), std::nullopt))
      return close(close::kInternalError);
}

/// A minute before the token's end, or when a fifth of its life is left; the clock here has
/// seconds.
void Connection::plan_end() {
  const int64_t life = expires_at_ - shard_.unix_now();
  session_->tell_at = expires_at_ - std::clamp<int64_t>(life / 5, 2, 60);
}

void Connection::refresh_session(Grant grant) {
  session_->grant = std::move(grant);
  plan_end();
  for (size_t i = subscriptions_.size(); i-- > 0 && state_ == State::kOpen;) {
    const Subscription& s = subscriptions_[i];
    const std::string name = s.channel->name();
    const uint8_t needed = s.watches ? kSubscribe | kPresence : kSubscribe;
    if ((session_->grant.allowed(name) & needed) != needed) unsubscribe(0, name, "not_granted");
  }
}

uint64_t Connection::revoke(const Revocation& r) {
  if (!member_ || member_->project != r.project) return 0;
  if (state_ != State::kOpen && state_ != State::kJoining) return 0;
  if (r.by == Revocation::By::kChannel) {
    if (!find_subscription(r.value)) return 0;
    if (dialect_ == Dialect::kDefault || state_ != State::kOpen) {
      close(close::kRevoked);
    } else {
      unsubscribe(0, r.value, "revoked");
    }
    return 1;
  }
  const std::string& mine = r.by == Revocation::By::kTokenId    ? member_->token_id
                            : r.by == Revocation::By::kIdentity ? member_->identity
                            : r.by == Revocation::By::kUser     ? member_->user
                                                                : member_->session;
  if (mine.empty() || mine != r.value) return 0;
  if (r.by != Revocation::By::kTokenId && member_->issued_at > r.issued_by) return 0;
  close(close::kRevoked);
  return 1;
}

}  // namespace raymesh::realtime
