#include "services/realtime/channel_actor.hpp"

#include <caf/actor_cast.hpp>
#include <caf/actor_system.hpp>
#include <caf/exit_reason.hpp>
#include <caf/stateful_actor.hpp>
#include <caf/typed_event_based_actor.hpp>

#include "libs/actor/loop_unit.hpp"
#include "services/realtime/channel_state.hpp"

namespace raymesh::realtime {
namespace {

constexpr std::chrono::seconds kTrimAfter{5};

struct Holder {
  static inline const char* name = "channel";
  std::unique_ptr<ChannelState> channel;
};
using Self = ChannelActor::stateful_pointer<Holder>;

void expire_later(Self self, std::optional<ChannelState::Clock::time_point> when) {
  if (when) self->delayed_send(self, *when - ChannelState::Clock::now(), Expire{});
}

void after_messages(Self self) {
  ChannelState& channel = *self->state.channel;
  expire_later(self, channel.take_expiry());
  if (channel.wants_trim()) self->delayed_send(self, kTrimAfter, Trim{});
}

// Runs with the first message, when the channel may be gone already.
ChannelActor::behavior_type behave(Self self, std::weak_ptr<Channel> weak, std::string project,
                                   std::string name, const ChannelRule* rule,
                                   std::shared_ptr<ChannelOutlets> outlets) {
  self->state.channel = std::make_unique<ChannelState>(std::move(weak), std::move(project),
                                                       std::move(name), *rule, std::move(outlets));
  ChannelState* channel = self->state.channel.get();
  return {
      [channel](const Join& m) { channel->join(m); },
      [channel](const Leave& m) { channel->leave(m); },
      [self, channel](const Publish& m) {
        const Published published = channel->publish(m.batch);
        if (m.done) (*m.done)(published);
        after_messages(self);
      },
      [self, channel](const Arrived& m) {
        channel->arrived(m);
        after_messages(self);
      },
      [channel](const MemberEvent& m) { channel->member_event(m); },
      [channel](const EventsMissed&) { channel->events_missed(); },
      [channel](const Refresh& m) { channel->refresh(m); },
      [channel](const ReadPresence& m) { (*m.done)(channel->presence(m.query)); },
      [channel](const ReadHistory& m) { (*m.done)(channel->read_history(m.since, m.limit)); },
      [self](const Unused&) { after_messages(self); },
      [self, channel](const Retire&) {
        channel->retire();
        if (channel->is_retired()) self->quit();
      },
      [channel](const Attached& m) { channel->attached(m.at); },
      [self, channel](const Entered& m) {
        channel->entered(m.connection, m.id);
        after_messages(self);
        if (channel->is_retired()) self->quit();
      },
      [channel](const Refreshed& m) { channel->refreshed(m.at); },
      [channel](const Checked& m) { channel->checked(m.at); },
      [self, channel](const HistoryLoaded& m) {
        channel->history_loaded(*m.page);
        after_messages(self);
      },
      [self, channel](const Expire&) {
        expire_later(self, channel->expire(ChannelState::Clock::now()));
      },
      [self, channel](const Trim&) {
        if (channel->trim()) self->delayed_send(self, kTrimAfter, Trim{});
      },
  };
}

}  // namespace

caf::actor spawn_channel_actor(caf::actor_system& system, const ChannelPtr& channel,
                               std::shared_ptr<ChannelOutlets> outlets,
                               std::function<void()> on_failed) {
  auto handle = caf::actor_cast<caf::actor>(
      system.spawn<caf::lazy_init>(behave, std::weak_ptr<Channel>(channel), channel->project(),
                                   channel->name(), &channel->rule(), std::move(outlets)));
  handle->attach_functor([on_failed = std::move(on_failed)](const caf::error& reason) {
    if (reason && reason != caf::exit_reason::user_shutdown) on_failed();
  });
  return handle;
}

void send(const Channel& channel, caf::message message) {
  channel.actor()->enqueue(nullptr, caf::make_message_id(), std::move(message),
                           actor::LoopUnit::current());
}

}  // namespace raymesh::realtime
