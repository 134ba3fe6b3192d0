#include "services/realtime/channel_registry.hpp"

#include <algorithm>
#include <vector>

#include "libs/base/json_writer.hpp"
#include "libs/telemetry/log.hpp"
#include "services/realtime/channel_actor.hpp"

namespace raymesh::realtime {

ChannelRegistry::ChannelRegistry(caf::actor_system& actors, std::shared_ptr<ChannelOutlets> outlets,
                                 size_t max_channels, OnFailed on_failed)
    : actors_(actors),
      outlets_(std::move(outlets)),
      max_channels_(max_channels),
      on_failed_(std::move(on_failed)) {
  outlets_->on_give_up([this](const ChannelPtr& channel) { give_up(channel); });
}

ChannelRegistry::~ChannelRegistry() {
  outlets_->on_give_up(nullptr);
  const std::lock_guard lock(mutex_);
  for (auto& [name, channel] : channels_) tell(*channel, Retire{});
}

std::string ChannelRegistry::key(const std::string& project, const std::string& name) {
  // Neither a project's id nor a channel's name has a control character.
  return project + '\0' + name;
}

ChannelPtr ChannelRegistry::find_or_make(const std::string& project, const std::string& name) {
  std::string k = key(project, name);
  auto it = channels_.find(k);
  if (it != channels_.end()) return it->second;
  if (channels_.size() >= max_channels_) return nullptr;
  auto channel =
      std::make_shared<Channel>(project, name, outlets_->rules.find(name), outlets_->shards.size());
  channel->actor_ = spawn_channel_actor(
      actors_, channel, outlets_, [this, weak = std::weak_ptr<Channel>(channel)] { failed(weak); });
  return channels_.emplace(std::move(k), std::move(channel)).first->second;
}

ChannelPtr ChannelRegistry::pin(const std::string& project, const std::string& name) {
  const std::lock_guard lock(mutex_);
  ChannelPtr channel = find_or_make(project, name);
  if (channel) ++channel->pins_;
  return channel;
}

ChannelPtr ChannelRegistry::obtain(const std::string& project, const std::string& name) {
  const std::lock_guard lock(mutex_);
  // Whoever publishes to names that nobody listens to leaves room for those who want to listen.
  if (channels_.size() >= max_channels_ - max_channels_ / 4) {
    const auto it = channels_.find(key(project, name));
    return it == channels_.end() ? nullptr : it->second;
  }
  return find_or_make(project, name);
}

bool ChannelRegistry::keeps(const Channel& channel) const {
  return channel.rule().keeps_history() && outlets_->broker->history_is_local();
}

void ChannelRegistry::unpin(const ChannelPtr& channel) {
  const std::lock_guard lock(mutex_);
  if (--channel->pins_ > 0) return;
  if (keeps(*channel)) {
    tell(*channel, Unused{});
  } else {
    retire_locked(channel);
  }
}

void ChannelRegistry::retire_locked(const ChannelPtr& channel) {
  const auto it = channels_.find(key(channel->project(), channel->name()));
  if (it != channels_.end() && it->second == channel) channels_.erase(it);
  tell(*channel, Retire{});
}

void ChannelRegistry::give_up(const ChannelPtr& channel) {
  const std::lock_guard lock(mutex_);
  if (channel->pins_ > 0) return;
  const auto it = channels_.find(key(channel->project(), channel->name()));
  if (it != channels_.end() && it->second == channel) retire_locked(channel);
}

ChannelPtr ChannelRegistry::find(const std::string& project, const std::string& name) const {
  const std::lock_guard lock(mutex_);
  const auto it = channels_.find(key(project, name));
  return it == channels_.end() ? nullptr : it->second;
}

size_t ChannelRegistry::size() const {
  const std::lock_guard lock(mutex_);
  return channels_.size();
}

std::string ChannelRegistry::hot_json(size_t most) {
  struct Hot {
    ChannelPtr channel;
    double messages, deliveries, bytes;
  };
  std::vector<Hot> all;
  {
    const std::lock_guard lock(mutex_);
    const auto now = std::chrono::steady_clock::now();
    all.reserve(channels_.size());
    for (auto& [name, channel] : channels_) {
      Channel& c = *channel;
      const double seconds =
          std::max(std::chrono::duration<double>(now - c.seen_at_).count(), 1e-3);
      c.seen_at_ = now;
      auto rate = [seconds](const std::atomic<uint64_t>& total, uint64_t& seen) {
        const uint64_t before = std::exchange(seen, total.load(std::memory_order_relaxed));
        return static_cast<double>(seen - before) / seconds;
      };
      all.push_back({channel, rate(c.totals.messages, c.seen_messages_),
                     rate(c.totals.deliveries, c.seen_deliveries_),
                     rate(c.totals.bytes, c.seen_bytes_)});
    }
  }
  const size_t shown = std::min(most, all.size());
  std::partial_sort(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(shown), all.end(),
                    [](const Hot& a, const Hot& b) {
                      return a.deliveries + a.messages > b.deliveries + b.messages;
                    });
  std::string out;
  json::Object page(out);
  json::append_uint(page.key("total"), all.size());
  std::string& list = page.key("channels") += '[';
  for (size_t i = 0; i < shown; ++i) {
    if (i > 0) list += ',';
    json::Object entry(list);
    entry.string("project", all[i].channel->project());
    entry.string("channel", all[i].channel->name());
    json::append_uint(entry.key("subscribers"), all[i].channel->totals.members.load());
    json::append_double(entry.key("messages_per_s"), all[i].messages);
    json::append_double(entry.key("deliveries_per_s"), all[i].deliveries);
    json::append_double(entry.key("bytes_per_s"), all[i].bytes);
    entry.end();
  }
  list += ']';
  page.end();
  return out;
}

void ChannelRegistry::failed(const std::weak_ptr<Channel>& weak) {
  const auto channel = weak.lock();
  if (!channel) return;
  {
    const std::lock_guard lock(mutex_);
    const auto it = channels_.find(key(channel->project(), channel->name()));
    if (it != channels_.end() && it->second == channel) channels_.erase(it);
  }
  // Its members cannot leave any more; the broker forgets them with the channel.
  outlets_->broker->detach(channel);
  log::error("channel actor failed", {{"project", channel->project()}});
  on_failed_(channel);
}

}  // namespace raymesh::realtime
