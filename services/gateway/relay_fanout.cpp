#include "services/gateway/relay_fanout.hpp"

#include <utility>

#include "services/gateway/core.hpp"
#include "services/gateway/raystream_subscriptions.hpp"

namespace raymesh::gateway {

void RelayFanout::add(uint64_t id, RelaySink& sink, std::string position) {
  sink.id_ = id;
  sink.answered_ = !position.empty();
  sink.position_ = std::move(position);
  sinks_.emplace(id, &sink);
}

void RelayFanout::remove(RelaySink& sink) {
  detach(sink);
  sinks_.erase(std::exchange(sink.id_, 0));
}

RelaySink* RelayFanout::find(uint64_t id) const {
  const auto it = sinks_.find(id);
  return it == sinks_.end() ? nullptr : it->second;
}

std::string RelayFanout::position(const RelaySink& sink) const {
  const auto it = channels_.find(sink.channel_);
  return it == channels_.end() ? sink.position_ : it->second.position;
}

void RelayFanout::detach(RelaySink& sink) {
  const auto it = channels_.find(std::exchange(sink.channel_, 0));
  if (it == channels_.end()) return;
  std::vector<RelaySink*>& sinks = it->second.sinks;
  sinks[sink.place_] = sinks.back();
  sinks[sink.place_]->place_ = sink.place_;
  sinks.pop_back();
  if (sinks.empty()) channels_.erase(it);
}

void RelayFanout::take(std::vector<RelayItem>& items) {
  for (RelayItem& item : items) std::visit([this](const auto& i) { handle(i); }, item);
  // What several subscriptions of a session have brought leaves in one write.
  flush_written_sessions(worker_);
}

void RelayFanout::handle(const RelaySubscribed& item) {
  for (const uint64_t id : item.ids) {
    RelaySink* sink = find(id);
    if (!sink || sink->channel_ != 0) continue;
    Channel& channel = channels_[item.channel];
    channel.position = item.feed;
    sink->channel_ = item.channel;
    sink->place_ = static_cast<uint32_t>(channel.sinks.size());
    channel.sinks.push_back(sink);
    if (!std::exchange(sink->answered_, true)) sink->subscribed(item.position);
    // It may have ended with the answer.
    if (item.first && find(id) == sink) sink->events(item.first);
  }
}

void RelayFanout::handle(const RelayEvents& item) {
  const auto it = channels_.find(item.channel);
  if (it == channels_.end()) return;
  Channel& channel = it->second;
  if (!item.only.empty()) {
    // Of one epoch, and so in the order of their bytes. The feed may be beyond it already.
    if (item.block->position() > channel.position) channel.position = item.block->position();
    for (const uint64_t id : item.only)
      if (RelaySink* sink = find(id)) sink->events(item.block);
    return;
  }
  channel.position = item.block->position();
  // From the back, because a session may end with what it is sent, and the last one takes its
  // place. With the last one the channel goes.
  for (size_t i = channel.sinks.size(); i-- > 0;) {
    if (i > 0) __builtin_prefetch(channel.sinks[i - 1]);
    channel.sinks[i]->events(item.block);
  }
}

void RelayFanout::handle(const RelayCut& item) {
  const auto it = channels_.find(item.channel);
  if (it == channels_.end()) return;
  for (RelaySink* sink : it->second.sinks) {
    sink->channel_ = 0;
    sink->position_ = it->second.position;
  }
  channels_.erase(it);
}

void RelayFanout::handle(const RelayRefusal& item) {
  if (RelaySink* sink = find(item.id)) sink->refused(item.error);
}

void RelayFanout::handle(const RelayGone& item) {
  if (RelaySink* sink = find(item.id)) sink->left();
}

void RelayFanout::handle(const RelayEnd& item) {
  if (RelaySink* sink = find(item.id)) sink->ended(item.last);
}

}  // namespace raymesh::gateway
