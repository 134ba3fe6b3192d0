// The nested parts of RedisPrimary, for redis_primary*.cpp alone: the subscriptions' sinks, and
// what those files share.
#pragma once

#include <algorithm>
#include <chrono>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "services/realtime/channel_actor.hpp"
#include "services/realtime/redis_keys.hpp"
#include "services/realtime/redis_primary.hpp"

namespace raymesh::realtime {

// Channels that look where they stand at the same time.
inline constexpr size_t kRefreshBatch = 100;

/// For an answer of Redis.
inline std::chrono::steady_clock::time_point answer_deadline() {
  return std::chrono::steady_clock::now() + std::chrono::seconds(3);
}

inline Error redis_unavailable(std::string message) {
  return {errors::kUnavailable, std::move(message), std::chrono::milliseconds(1000)};
}

/// The incarnation before this one, if it may still hold members; else empty.
inline std::string previous_text(const NodeLease& lease) {
  return lease.previous() == 0 ? std::string() : node_text(lease.previous());
}

// A channel's topic and those who listen to it here: one Channel, or two while a new one of the
// same name takes the place of the last.
class RedisPrimary::Topic final : public redis::Subscriber::Sink {
 public:
  Topic(RedisPrimary& of, const Channel& channel)
      : owner(&of),
        key(channel_key(channel.project(), channel.name())),
        idle(idle_life(channel.rule())) {}

  void on_message(std::string_view payload) override {
    TopicMessage message = decode_topic(payload, owner->shared_.node);
    if (auto* messages = std::get_if<TopicMessages>(&message)) {
      if (messages->sent != 0 && owner->shared_.on_lag)
        owner->shared_.on_lag(boot_time() - std::chrono::microseconds(messages->sent));
      for (const Listener& listener : listeners)
        tell(*listener.channel, Arrived{messages->first, messages->batch});
    } else if (const auto* events = std::get_if<std::vector<TopicEvent>>(&message)) {
      for (const Listener& listener : listeners) {
        if (!listener.channel->watched || listener.holes != listener.told) continue;
        for (const TopicEvent& event : *events)
          tell(*listener.channel, MemberEvent{event.joined, std::string(event.member_json)});
      }
    }
  }

  bool watched() const {
    return std::any_of(listeners.begin(), listeners.end(),
                       [](const Listener& listener) { return listener.channel->watched.load(); });
  }

  Listener* find(const Channel* channel) {
    const auto it = std::find_if(listeners.begin(), listeners.end(), [channel](const Listener& l) {
      return l.channel.get() == channel;
    });
    return it == listeners.end() ? nullptr : &*it;
  }

  void events_pass_by() {
    for (Listener& listener : listeners) ++listener.holes;
  }

  enum class State : uint8_t { kNone, kSubscribing, kSubscribed };

  RedisPrimary* owner;
  const std::string key;
  const std::chrono::milliseconds idle;
  State state = State::kNone;
  bool moved = false;  // from another primary, and its channels have not been told yet
  std::vector<Listener> listeners;
  std::vector<Answer<Position>> waiting;  // for the subscription
  std::unordered_set<ConnectionId, ConnectionIdHash> members;
};

// What nodes tell each other, and a node itself.
class RedisPrimary::Control final : public redis::Subscriber::Sink {
 public:
  Control(RedisPrimary& owner, std::string name) : topic(std::move(name)), owner_(owner) {}

  void on_message(std::string_view payload) override {
    ControlMessage message = decode_control(payload);
    if (const auto* position = std::get_if<PositionMessage>(&message))
      owner_.on_position(*position);
    else
      owner_.shared_.on_control(owner_, message);
  }

  const std::string topic;
  bool pending = false;
  bool subscribed = false;

 private:
  RedisPrimary& owner_;
};

}  // namespace raymesh::realtime
