#include "services/realtime/channel_actor.hpp"

#include <caf/actor_cast.hpp>
#include <caf/actor_system.hpp>
#include <caf/exit_reason.hpp>
#include <caf/stateful_actor.hpp>
#include <caf/typed_event_based_actor.hpp>

#include "libs/actor/loop_unit.hpp"
#include "services/realtime/channel_log.hpp"
#include "services/realtime/channel_members.hpp"

namespace raymesh::realtime {
namespace {

constexpr std::chrono::seconds kTrimAfter{5};

struct ChannelState {
  static inline const char* name = "channel";

  // Weak: the channel holds its actor. Invariant: alive while there are members, who hold it.
  std::weak_ptr<Channel> channel;
  // Before the log, whose segments count in it.
  std::shared_ptr<ChannelOutlets> outlets;
  std::unique_ptr<ChannelMembers> members;
  std::unique_ptr<ChannelLog> log;
  bool trim_armed = false;
  bool published_since_trim = false;

  void join(const MemberPtr& member) {
    auto c = channel.lock();
    if (!c || !members->add(member)) return;
    const ConnectionId connection = member->connection;
    outlets->shards[connection.shard()]->post(Joined{std::move(c), connection});
  }

  size_t publish(const PublishBatch& batch) {
    const size_t receivers = members->receivers(batch.origin());
    if (receivers == 0) return 0;
    const auto c = channel.lock();
    if (!c) return 0;
    const Span span = log->append(batch);
    for (size_t i = 0; i < outlets->shards.size(); ++i) {
      if (members->on_shard(i) == 0) continue;
      outlets->shards[i]->post(
          Delivery{c, span, static_cast<uint32_t>(batch.count()), batch.origin()});
    }
    published_since_trim = true;
    return receivers;
  }

  /// True when it wants to be asked again later.
  bool trim() {
    trim_armed = std::exchange(published_since_trim, false);
    if (!trim_armed) log->trim();
    return trim_armed;
  }
};

using Self = ChannelActor::stateful_pointer<ChannelState>;

ChannelActor::behavior_type behave(Self self, std::weak_ptr<Channel> channel,
                                   const std::string& name,
                                   std::shared_ptr<ChannelOutlets> outlets) {
  ChannelState& state = self->state;
  state.members = std::make_unique<ChannelMembers>(outlets->shards.size());
  state.log = std::make_unique<ChannelLog>(name, outlets->memory);
  state.channel = std::move(channel);
  state.outlets = std::move(outlets);
  return {
      [self](const Join& m) { self->state.join(m.member); },
      [self](const Leave& m) { self->state.members->remove(m.connection); },
      [self](const Publish& m) {
        const size_t delivered = self->state.publish(*m.batch);
        if (m.done) (*m.done)(delivered);
        if (self->state.log->is_large() && !std::exchange(self->state.trim_armed, true))
          self->delayed_send(self, kTrimAfter, Trim{});
      },
      [self](const ReadPresence& m) { (*m.done)(self->state.members->presence_json()); },
      [self](const Trim&) {
        if (self->state.trim()) self->delayed_send(self, kTrimAfter, Trim{});
      },
      [self](const Retire&) { self->quit(); },
  };
}

template <class Message>
void enqueue(const Channel& channel, Message message) {
  channel.actor()->enqueue(nullptr, caf::make_message_id(), caf::make_message(std::move(message)),
                           actor::LoopUnit::current());
}

}  // namespace

caf::actor spawn_channel_actor(caf::actor_system& system, const ChannelPtr& channel,
                               std::shared_ptr<ChannelOutlets> outlets,
                               std::function<void()> on_failed) {
  auto handle = caf::actor_cast<caf::actor>(system.spawn<caf::lazy_init>(
      behave, std::weak_ptr<Channel>(channel), channel->name(), std::move(outlets)));
  handle->attach_functor([on_failed = std::move(on_failed)](const caf::error& reason) {
    if (reason && reason != caf::exit_reason::user_shutdown) on_failed();
  });
  return handle;
}

void tell(const Channel& channel, Join message) {
  enqueue(channel, std::move(message));
}
void tell(const Channel& channel, Leave message) {
  enqueue(channel, message);
}
void tell(const Channel& channel, Publish message) {
  enqueue(channel, std::move(message));
}
void tell(const Channel& channel, ReadPresence message) {
  enqueue(channel, std::move(message));
}
void tell(const Channel& channel, Retire message) {
  enqueue(channel, message);
}

}  // namespace raymesh::realtime
