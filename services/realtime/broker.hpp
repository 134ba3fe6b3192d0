// What connects the channels of all realtime nodes. One node needs only MemoryBroker; an adapter
// for many publishes to the others as well, keeps history and counts presence for the cluster.
// Thread-safe. Answers run on any thread and must hand over at once.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "libs/base/result.hpp"
#include "libs/base/unique_function.hpp"
#include "services/realtime/channel.hpp"
#include "services/realtime/publish_batch.hpp"

namespace raymesh::realtime {

class Broker {
 public:
  using Delivered = UniqueFunction<void(Result<uint64_t>)>;
  using Presence = UniqueFunction<void(Result<std::string>)>;

  virtual ~Broker() = default;

  /// Sends the batch to every subscriber but its origin, in one order for all of them. `local` is
  /// the channel on this node, nullptr when nobody here subscribes to it. `done` may be empty;
  /// otherwise it gets the number of sockets that were subscribed when the publish ran.
  virtual void publish(const std::string& project, const std::string& name, const ChannelPtr& local,
                       std::shared_ptr<const PublishBatch> batch, Delivered done) = 0;

  /// JSON: [{"id":...,"identity"?:...}], one entry per connection.
  virtual void presence(const std::string& project, const std::string& name,
                        const ChannelPtr& local, Presence done) = 0;
};

}  // namespace raymesh::realtime
