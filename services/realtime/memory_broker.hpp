// The broker of a single node: what is published here is for the subscribers here. Stateless,
// thread-safe.
#pragma once

#include "services/realtime/broker.hpp"

namespace raymesh::realtime {

class MemoryBroker final : public Broker {
 public:
  void publish(const std::string& project, const std::string& name, const ChannelPtr& local,
               std::shared_ptr<const PublishBatch> batch, Delivered done) override;
  void presence(const std::string& project, const std::string& name, const ChannelPtr& local,
                Presence done) override;
};

}  // namespace raymesh::realtime
