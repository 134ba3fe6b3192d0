// The way into a shard, from any thread: what channel actors hand over, new sockets, commands. Many
// posts cost one wake-up, and none while the shard is awake. Order of posts is kept. Bounded in
// bytes by those who publish: they stop above `queued_bytes` (see NodeLimits).
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <mutex>
#include <optional>
#include <variant>
#include <vector>

#include "libs/base/result.hpp"
#include "libs/base/unique_function.hpp"
#include "libs/net/loop.hpp"
#include "services/realtime/channel.hpp"
#include "services/realtime/member.hpp"

namespace raymesh::realtime {

class Shard;

/// Encoded messages for this shard's subscribers of a channel who speak the dialect, or an event
/// (without messages) for those of them who watch.
struct Delivery {
  ChannelPtr channel;
  Dialect dialect = Dialect::kDefault;
  bool deflated = false;
  LocalChannel::Pending what;
};
/// The actor has made the connection a member: what it hands over from now on is for it, too. Or
/// it could not, and says why.
struct Joined {
  ChannelPtr channel;
  ConnectionId connection;
  uint32_t ticket = 0;            // of its Join
  MemberPtr member;               // as it is present
  Position at;                    // what comes next follows on it, the missed messages included
  std::optional<bool> recovered;  // nothing: no position was given
  Span missed;                    // to be sent first; empty: none
  Position last;                  // of them, and of the channel
  std::shared_ptr<const Error> failure;
};
/// Messages of the channel were lost on their way to this node; the next one follows on `at`.
struct Lost {
  ChannelPtr channel;
  Position at;
  std::optional<uint64_t> messages;
};
/// Sockets that were accepted.
struct Incoming {
  std::vector<int> fds;
};
using Command = UniqueFunction<void(Shard&)>;
using InboxItem = std::variant<Delivery, Joined, Lost, Incoming, Command, net::Loop::Task>;

class ShardInbox {
 public:
  ShardInbox();
  ~ShardInbox();
  ShardInbox(const ShardInbox&) = delete;
  ShardInbox& operator=(const ShardInbox&) = delete;

  void post(InboxItem item);

  // For the shard alone.
  /// The descriptor that becomes readable when something was posted to a sleeping shard.
  int wake_fd() const { return wake_fd_; }
  /// Moves everything to `out`, which is empty.
  void take(std::vector<InboxItem>& out);
  /// False when there is something to take; otherwise posts wake the shard from now on.
  bool prepare_sleep();
  void awake();

  /// Bytes of deliveries that were posted and not yet flushed.
  size_t queued_bytes() const { return queued_bytes_.load(std::memory_order_relaxed); }
  void flushed(size_t bytes) { queued_bytes_.fetch_sub(bytes, std::memory_order_relaxed); }

  /// Sockets that the shard has or will get. Any thread.
  size_t connections() const { return connections_.load(std::memory_order_relaxed); }
  void connections_changed(int by) {
    connections_.fetch_add(static_cast<size_t>(by), std::memory_order_relaxed);
  }

 private:
  std::mutex mutex_;
  std::vector<InboxItem> items_;  // guarded by mutex_
  bool sleeping_ = false;         // guarded by mutex_
  int wake_fd_;
  std::atomic<size_t> queued_bytes_{0};
  std::atomic<size_t> connections_{0};
};

}  // namespace raymesh::realtime
