// The channels in use on this node, by project and name: made with the first member, given up after
// the last, or when what they keep has expired; bounded in number. Supervises their actors: one
// that dies of an error takes its members' sockets with it (1011, they come back to a new one).
// Thread-safe; the lock is held for a lookup.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>

#include "services/realtime/channel.hpp"

namespace caf {
class actor_system;
}

namespace raymesh::realtime {

struct ChannelOutlets;

class ChannelRegistry {
 public:
  /// `on_failed` runs when a channel's actor has died of an error, on its last thread.
  using OnFailed = std::function<void(const ChannelPtr&)>;

  ChannelRegistry(caf::actor_system& actors, std::shared_ptr<ChannelOutlets> outlets,
                  size_t max_channels, OnFailed on_failed);
  /// Retires what is left.
  ~ChannelRegistry();

  /// The channel, kept until the matching `unpin`; nullptr when there are too many.
  ChannelPtr pin(const std::string& project, const std::string& name);
  /// After the last Leave was sent on behalf of the pin.
  void unpin(const ChannelPtr& channel);
  /// The channel, made if it is not there, for a message that it is to keep. It gives itself up
  /// when that has expired. nullptr when three quarters of what there may be are in use.
  ChannelPtr obtain(const std::string& project, const std::string& name);
  /// The channel, if it is in use.
  ChannelPtr find(const std::string& project, const std::string& name) const;
  size_t size() const;
  /// The `most` channels that send most, as JSON, with what they have done per second since they
  /// were last asked for:
  /// {"total":n,"channels":[{"project","channel","subscribers","messages_per_s",
  /// "deliveries_per_s","bytes_per_s"}]}.
  std::string hot_json(size_t most);

 private:
  static std::string key(const std::string& project, const std::string& name);
  ChannelPtr find_or_make(const std::string& project, const std::string& name);
  bool keeps(const Channel& channel) const;
  void retire_locked(const ChannelPtr& channel);
  void give_up(const ChannelPtr& channel);
  void failed(const std::weak_ptr<Channel>& channel);

  caf::actor_system& actors_;
  std::shared_ptr<ChannelOutlets> outlets_;
  const size_t max_channels_;
  OnFailed on_failed_;
  mutable std::mutex mutex_;
  std::unordered_map<std::string, ChannelPtr> channels_;  // guarded by mutex_
};

}  // namespace raymesh::realtime
