#include "services/realtime/realtime_node.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>

#include "libs/actor/loop_unit.hpp"
#include "libs/base/cores.hpp"
#include "libs/net/bound_port.hpp"
#include "libs/net/descriptors.hpp"
#include "services/realtime/memory_broker.hpp"

namespace raymesh::realtime {
namespace {

constexpr int kBacklog = 4'096;
// How many connections a stopping node closes per second at most, if the grace period allows it,
// and so how fast they come back to the others.
constexpr size_t kClosesPerSecond = 2'000;

size_t shard_count(size_t threads) {
  if (threads == 0) threads = available_cores();
  return std::min(threads, ConnectionId::kMaxShards);
}

}  // namespace

std::shared_ptr<Broker> RealtimeNode::make_broker() {
  outlets_->rules = config_.rules;
  config_.limits.counts_connections = config_.connection_limits.any();
  BrokerNode node{outlets_->rules,
                  config_.connection_limits,
                  [this](const std::string& project, const std::string& name) {
                    return channels_.obtain(project, name);
                  },
                  [this](const Revocation& revocation, UniqueFunction<void(uint64_t)> done) {
                    revoke_here(revocation, std::move(done));
                  },
                  [this] { return outlets_->queued_bytes() > config_.limits.max_queued_bytes; },
                  [probe = probe_](double seconds) { probe->broker_lag(seconds); }};
  outlets_->broker = config_.make_broker ? config_.make_broker(std::move(node))
                                         : std::make_shared<MemoryBroker>(std::move(node));
  return outlets_->broker;
}

RealtimeNode::RealtimeNode(NodeConfig config, const RealtimeTokens& tokens,
                           caf::actor_system& actors, metrics::Registry& metrics)
    : config_(std::move(config)),
      probe_(std::make_shared<Probe>(metrics)),
      outlets_(std::make_shared<ChannelOutlets>(shard_count(config_.threads))),
      broker_(make_broker()),
      channels_(actors, outlets_, config_.limits.max_channels,
                [this](const ChannelPtr& channel) { close_channel(channel); }),
      context_{.limits = config_.limits,
               .tokens = tokens,
               .channels = channels_,
               .outlets = outlets_,
               .broker = *broker_,
               .revoked = revoked_,
               .probe = *probe_,
               .tls = config_.tls.get(),
               .actors = actors} {
  probe_->watch(
      metrics,
      {.connections = [this] { return static_cast<double>(connections()); },
       .channels = [this] { return static_cast<double>(channels()); },
       .queued_bytes = [this] { return static_cast<double>(context_.queued_bytes()); },
       .frame_memory_bytes = [this] { return static_cast<double>(outlets_->memory.bytes()); },
       .drain_left = [this] { return stopping_ ? static_cast<double>(connections()) : 0.0; }});
  outlets_->probe = probe_;
}

Result<std::unique_ptr<RealtimeNode>> RealtimeNode::start(NodeConfig config,
                                                          const RealtimeTokens& tokens,
                                                          caf::actor_system& actors,
                                                          metrics::Registry& metrics) {
  std::unique_ptr<RealtimeNode> node(new RealtimeNode(std::move(config), tokens, actors, metrics));
  RAYMESH_CHECK_OK(node->listen());
  for (size_t i = 0; i < node->outlets_->shards.size(); ++i) {
    node->shards_.push_back(std::make_unique<Shard>(i, node->context_, *node->outlets_->shards[i]));
    node->shards_.back()->start();
  }
  std::vector<ShardInbox*> all;
  for (auto& inbox : node->outlets_->shards) all.push_back(inbox.get());
  all[0]->post(Command([fds = std::exchange(node->listen_fds_, {}), all](Shard& shard) {
    shard.accept_from(fds, all);
  }));
  return node;
}

RealtimeNode::~RealtimeNode() {
  for (const int fd : listen_fds_) ::close(fd);
  for (auto& shard : shards_) shard->stop();
  broker_->stop(std::chrono::milliseconds(0));
}

std::vector<size_t> RealtimeNode::connections_by_shard() const {
  std::vector<size_t> out;
  for (const auto& inbox : outlets_->shards) out.push_back(inbox->connections());
  return out;
}

Status RealtimeNode::listen() {
  RAYMESH_TRY(auto bound, net::BoundPort::open(config_.listen));
  port_ = bound.port();
  net::reserve_descriptors(config_.limits.max_connections);
  for (net::BoundPort::Socket& socket : bound.sockets()) {
    // Accepted sockets inherit it.
    const int one = 1;
    ::setsockopt(socket.fd.get(), IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (::listen(socket.fd.get(), kBacklog) < 0)
      return Error(errors::kUnavailable,
                   "cannot listen on " + config_.listen + ": " + std::strerror(errno));
    listen_fds_.push_back(socket.fd.release());
  }
  return ok_status();
}

void RealtimeNode::publish(const std::string& project, const std::string& channel,
                           std::string_view payload, Answer<Published> done) {
  if (context_.overloaded()) {
    probe_->publish_refused();
    done(Error(errors::kOverloaded, "too much is waiting to be sent to subscribers; try again",
               std::chrono::milliseconds(100)));
    return;
  }
  auto batch = std::make_shared<PublishBatch>();
  batch->add(payload);
  probe_->published(1, payload.size());
  ChannelPtr local = channels_.find(project, channel);
  const Shard* here = Shard::current();
  const bool on_shard = here && &here->node() == &context_;
  if (!local || !broker_->history_is_local() || stopping_ || on_shard) {
    broker_->publish(project, channel, local, std::move(batch), std::move(done));
    return;
  }
  // Its actor runs on a shard then, which sends at once, and no other thread is woken.
  ShardInbox& inbox = shard_for(*local);
  inbox.post(Command([local = std::move(local), batch = std::move(batch),
                      done = std::move(done)](Shard& shard) mutable {
    shard.node().broker.publish(local->project(), local->name(), local, std::move(batch),
                                std::move(done));
  }));
}

ShardInbox& RealtimeNode::shard_for(const Channel& channel) {
  auto& shards = outlets_->shards;
  if (connections() <= config_.limits.one_shard_up_to) return *shards.front();
  // Fibonacci hashing: the low bits of addresses are all alike.
  const uint64_t mixed = reinterpret_cast<uintptr_t>(&channel) * uint64_t{0x9E3779B97F4A7C15};
  return *shards[(mixed >> 32) % shards.size()];
}

void RealtimeNode::presence(const std::string& project, const std::string& channel,
                            PresenceQuery query, Answer<PresencePage> done) {
  broker_->presence(project, channel, channels_.find(project, channel), std::move(query),
                    std::move(done));
}

void RealtimeNode::history(const std::string& project, const std::string& channel, Position since,
                           size_t limit, Answer<HistoryPage> done) {
  broker_->history(project, channel, channels_.find(project, channel), since, limit,
                   std::move(done));
}

void RealtimeNode::revoke(Revocation revocation, Answer<RevokeReport> done) {
  if (Status room = revoked_.room_for(revocation, static_cast<int64_t>(std::time(nullptr)));
      !room.ok())
    return done(std::move(room).error());
  broker_->revoke(std::move(revocation), std::move(done));
}

void RealtimeNode::revoke_here(const Revocation& revocation,
                               UniqueFunction<void(uint64_t closed)> done) {
  // First the list, so that nobody opens with a revoked token behind the shards' backs.
  revoked_.add(revocation, static_cast<int64_t>(std::time(nullptr)));
  struct Tally {
    std::atomic<uint64_t> closed{0};
    std::atomic<size_t> left;
    UniqueFunction<void(uint64_t closed)> done;
  };
  auto tally = std::make_shared<Tally>();
  tally->left = outlets_->shards.size();
  tally->done = std::move(done);
  for (auto& inbox : outlets_->shards)
    inbox->post(Command([tally, revocation](Shard& shard) {
      tally->closed += shard.revoke(revocation);
      if (--tally->left == 0) tally->done(tally->closed);
    }));
}

void RealtimeNode::close_channel(const ChannelPtr& channel) {
  for (auto& inbox : outlets_->shards)
    inbox->post(
        Command([channel](Shard& shard) { shard.close_channel(*channel, close::kInternalError); }));
}

std::vector<net::Loop*> RealtimeNode::loops() {
  std::vector<net::Loop*> out;
  for (auto& shard : shards_) out.push_back(&shard->loop());
  return out;
}

Shard* RealtimeNode::shard_of(const net::Loop& loop) {
  for (auto& shard : shards_)
    if (&shard->loop() == &loop) return shard.get();
  return nullptr;
}

void RealtimeNode::drain(std::chrono::milliseconds grace) {
  if (stopping_.exchange(true)) return;
  const auto deadline = std::chrono::steady_clock::now() + grace;
  outlets_->shards[0]->post(Command([](Shard& shard) { shard.stop_accepting(); }));
  const auto wanted = std::chrono::milliseconds(1'000 * connections() / kClosesPerSecond);
  const auto window = std::min(wanted, grace * 6 / 10);
  for (auto& inbox : outlets_->shards)
    inbox->post(Command([window](Shard& shard) { shard.drain(window, window); }));
  while (connections() > 0 && std::chrono::steady_clock::now() < deadline)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
}

void RealtimeNode::stop(std::chrono::milliseconds grace) {
  const auto deadline = std::chrono::steady_clock::now() + grace;
  drain(grace);
  for (auto& shard : shards_) shard->stop();
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
      deadline - std::chrono::steady_clock::now());
  broker_->stop(std::max(left, std::chrono::milliseconds(0)));
}

}  // namespace raymesh::realtime
