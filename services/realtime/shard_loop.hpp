// The part of a shard's event loop that others may use: the node's gRPC connections live on the
// shards, so that a call's publish is received, run, sent to subscribers and answered by one
// thread. Owned by its shard, on whose thread all is called but post().
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "libs/net/loop.hpp"
#include "services/realtime/shard_inbox.hpp"

namespace raymesh::realtime {

class ShardLoop final : public net::Loop {
 public:
  /// epoll's user data of a watched descriptor is `first_data` or above, up to 32 bits.
  ShardLoop(int epoll_fd, uint64_t first_data, ShardInbox& inbox);
  ~ShardLoop() override;

  void post(Task task) override { inbox_.post(std::move(task)); }
  std::unique_ptr<Watch> watch(int fd, std::weak_ptr<Listener> listener) override;
  std::unique_ptr<Timer> timer() override;

  // For the shard.
  void on_event(uint64_t data, uint32_t events);
  void run_timers(Clock::time_point now);
  /// When the next timer is due.
  std::optional<Clock::time_point> next_timer() const;

 private:
  class Watched;
  class Alarm;

  const int epoll_fd_;
  const uint64_t first_data_;
  ShardInbox& inbox_;
  std::vector<Watched*> watched_;  // nullptr: a free place
  std::multimap<Clock::time_point, Alarm*> alarms_;
};

}  // namespace raymesh::realtime
