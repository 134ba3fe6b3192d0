// The broker of a single node: what is published here is for the subscribers here, and each
// channel's actor keeps its own order, history and members. Counts connections for the limits;
// thread-safe.
#pragma once

#include <mutex>
#include <string>
#include <unordered_map>

#include "services/realtime/broker.hpp"

namespace raymesh::realtime {

class MemoryBroker final : public Broker {
 public:
  explicit MemoryBroker(BrokerNode node) : node_(std::move(node)) {}

  void publish(const std::string& project, const std::string& name, const ChannelPtr& local,
               std::shared_ptr<const PublishBatch> batch, Answer<Published> done) override;
  void attach(const ChannelPtr&, Answer<Position> done) override { done(Position{}); }
  void detach(const ChannelPtr&) override {}
  void enter(const ChannelPtr& channel, const MemberPtr& member, Answer<std::string> done) override;
  void leave(const ChannelPtr& channel, const MemberPtr& member,
             std::chrono::milliseconds handover) override;
  void watch(const ChannelPtr& channel, bool wanted) override { channel->watched = wanted; }
  void refreshed(const ChannelPtr&, uint64_t, Answer<Position> done) override { done(Position{}); }
  void position(const ChannelPtr&, Answer<Position> done) override { done(Position{}); }
  void history(const std::string& project, const std::string& name, const ChannelPtr& local,
               Position since, size_t limit, Answer<HistoryPage> done) override;
  void presence(const std::string& project, const std::string& name, const ChannelPtr& local,
                PresenceQuery query, Answer<PresencePage> done) override;
  void admit(const MemberPtr& member, Answered done) override;
  void dismiss(const MemberPtr& member) override;
  void revoke(Revocation revocation, Answer<RevokeReport> done) override;
  bool history_is_local() const override { return true; }
  Status ready() const override { return ok_status(); }
  void stop(std::chrono::milliseconds) override {}

 private:
  const BrokerNode node_;
  std::mutex mutex_;
  std::unordered_map<std::string, uint64_t> connections_;  // by scope; guarded by mutex_
};

}  // namespace raymesh::realtime
