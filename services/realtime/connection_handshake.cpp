// The part of Connection that deals with its opening: the upgrade request, the token, joining the
// channels that it grants, and leaving them again.
#include <algorithm>

#include "libs/crypto/random.hpp"
#include "libs/net/websocket/upgrade.hpp"
#include "services/realtime/connection.hpp"
#include "services/realtime/shard.hpp"

namespace raymesh::realtime {

namespace ws = net::websocket;

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
  auto grant = node.tokens.verify(ws::query_value(request->query, "token"), shard_.unix_now());
  if (!request->is_upgrade || request->has_body) {
    refuse(426, Error(errors::kInvalidRequest, "this port speaks WebSocket only"),
           "Upgrade: websocket\r\n");
  } else if (!grant.ok()) {
    // Why exactly is for nobody outside to know.
    refuse(401, grant.error().is(errors::kTokenExpired)
                    ? Error(errors::kTokenExpired, "the token has expired: mint a new one")
                    : Error(errors::kInvalidToken, "the token is missing or not valid"));
  } else if (request->key.empty()) {
    refuse(401, Error(errors::kInvalidRequest, "Sec-WebSocket-Key is missing or malformed"));
  } else if (request->version != 13) {
    refuse(426, Error(errors::kInvalidRequest, "only version 13 of WebSocket is spoken here"),
           "Sec-WebSocket-Version: 13\r\n");
  } else {
    accept_ = ws::accept_response(request->key);
    join(*std::move(grant));
  }
  return state_ == State::kRefused ? data.size() : head;
}

void Connection::refuse(int status, const Error& error, std::string_view extra_headers) {
  shard_.node().probe.connection_refused();
  leave_channels();
  state_ = State::kRefused;
  shard_.wheel().arm(*this, shard_.node().limits.close_timeout, shard_.now());
  write_bytes(ws::refuse_response(status, error, extra_headers));
  if (state_ == State::kRefused) after_write();
}

void Connection::join(Grant grant) {
  state_ = State::kJoining;
  expires_at_ = grant.expires_at;
  member_ = std::make_shared<const Member>(
      Member{id_, crypto::random_token(12), std::move(grant.identity), std::move(grant.id),
             std::move(grant.key_id), std::move(grant.user), std::move(grant.session)});
  std::sort(grant.channels.begin(), grant.channels.end());
  subscriptions_.reserve(grant.channels.size());
  for (const std::string& name : grant.channels) {
    ChannelPtr channel = shard_.node().channels.pin(grant.project, name);
    if (!channel)
      return refuse(503,
                    Error(errors::kOverloaded, "this node has as many channels as it may have"),
                    "Retry-After: 1\r\n");
    subscriptions_.push_back({std::move(channel)});
    tell(*subscriptions_.back().channel, Join{member_});
  }
  joining_ = static_cast<uint16_t>(subscriptions_.size());
}

void Connection::on_joined(const Channel& channel) {
  if (state_ != State::kJoining) return;
  const auto it = std::lower_bound(
      subscriptions_.begin(), subscriptions_.end(), channel.name(),
      [](const Subscription& s, const std::string& name) { return s.channel->name() < name; });
  if (it == subscriptions_.end() || it->channel.get() != &channel || it->joined) return;
  it->joined = true;
  shard_.subscribe(it->channel, *this, static_cast<uint32_t>(it - subscriptions_.begin()));
  if (--joining_ == 0) opened();
}

void Connection::opened() {
  state_ = State::kOpen;
  shard_.node().probe.connection_opened();
  // Messages may have come for the channels that were joined first; the 101 goes before them.
  auto early = std::move(backlog_);
  const std::string answer = std::exchange(accept_, {});
  write_bytes(answer);
  if (early && state_ == State::kOpen) {
    if (!backlog_) backlog_ = std::make_unique<Backlog>();
    backlog_->take(*early);
    flush_backlog();
  }
  if (state_ != State::kOpen) return;
  // The first ping comes after a random part of the interval: clients that came together are so
  // spread over it.
  const auto interval = shard_.node().limits.ping_interval;
  const auto first = interval / 2 + interval * static_cast<int>(id_.slot() % 64) / 128;
  const auto life = std::chrono::seconds(std::max<int64_t>(expires_at_ - shard_.unix_now(), 0));
  shard_.wheel().arm(*this, std::min<std::chrono::milliseconds>(first, life), shard_.now());
  if (input_) {
    const auto early_input = std::move(input_);
    take({early_input->data.get(), early_input->size});
  }
}

void Connection::leave_channels() {
  publish_batches();
  for (Subscription& subscription : subscriptions_) {
    if (subscription.joined) shard_.unsubscribe(subscription.channel, subscription.place);
    tell(*subscription.channel, Leave{id_});
    shard_.node().channels.unpin(subscription.channel);
  }
  subscriptions_.clear();
  subscriptions_.shrink_to_fit();
  member_.reset();
}

}  // namespace raymesh::realtime
