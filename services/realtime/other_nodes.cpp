#include "services/realtime/other_nodes.hpp"

#include <algorithm>
#include <future>
#include <memory>
#include <string_view>

#include "libs/rpc/discovery.hpp"
#include "libs/rpc/peer.hpp"
#include "libs/rpc/resolver.hpp"
#include "libs/telemetry/log.hpp"
#include "raymesh/realtime/v1/realtime.pb.h"

namespace raymesh::realtime {
namespace {

constexpr std::chrono::seconds kPatience{3};
constexpr std::string_view kDns = "dns:";

}  // namespace

void OtherNodes::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

Status OtherNodes::start() {
  if (config_.peers.empty()) return ok_status();
  for (const std::string& peer : config_.peers) RAYMESH_CHECK_OK(rpc::Discovery::check(peer));
  RAYMESH_CHECK_OK(ask_all());
  thread_ = std::thread([this] { run(); });
  return ok_status();
}

Status OtherNodes::state() const {
  const std::lock_guard lock(mutex_);
  return state_;
}

void OtherNodes::run() {
  std::unique_lock lock(mutex_);
  while (!changed_.wait_for(lock, config_.interval, [this] { return stopping_; })) {
    lock.unlock();
    Status seen = ask_all();
    lock.lock();
    if (!seen.ok() && state_.ok()) log::error(seen.error().message);
    state_ = std::move(seen);
  }
}

std::vector<std::string> OtherNodes::addresses() const {
  std::vector<std::string> out;
  for (const std::string& peer : config_.peers) {
    if (!peer.starts_with(kDns)) {
      out.push_back(peer);
      continue;
    }
    const std::string name = peer.substr(kDns.size());
    const size_t colon = name.rfind(':');
    auto found = std::make_shared<std::promise<std::vector<std::string>>>();
    auto answer = found->get_future();
    rpc::Resolver::shared().resolve(
        name.substr(0, colon), name.substr(colon + 1),
        [found](std::vector<std::string> resolved) { found->set_value(std::move(resolved)); });
    if (answer.wait_for(kPatience) != std::future_status::ready) continue;
    for (std::string& address : answer.get()) out.push_back(std::move(address));
  }
  return out;
}

Status OtherNodes::ask_all() {
  struct Asked {
    std::string address;
    std::future<Result<v1::NodeReply>> answer;
  };
  const std::vector<std::string> all = addresses();
  std::erase_if(connections_, [&all](const auto& connection) {
    return std::find(all.begin(), all.end(), connection.first) == all.end();
  });
  std::vector<Asked> asked;
  for (const std::string& address : all) {
    std::shared_ptr<rpc::Peer>& peer = connections_[address];
    if (!peer) {
      rpc::PeerConfig config;
      config.service = "raymesh.realtime.v1.Realtime";
      config.endpoints = {address};
      RAYMESH_TRY(peer, rpc::connect_peer(std::move(config), config_.credentials));
    }
    rpc::CallOptions options;
    options.timeout = kPatience;
    options.repeat = rpc::Repeat::kSafe;
    auto promise = std::make_shared<std::promise<Result<v1::NodeReply>>>();
    asked.push_back({address, promise->get_future()});
    peer->call<v1::NodeReply>(
        "Node", {}, v1::NodeRequest(), options,
        [promise](Result<v1::NodeReply> reply) { promise->set_value(std::move(reply)); });
  }
  for (Asked& a : asked) {
    const Result<v1::NodeReply> reply = a.answer.get();
    if (!reply.ok() || reply->id() == config_.id) continue;
    if (reply->broker() == "redis" && config_.broker == "redis") continue;
    return Error(errors::kInvalidValue,
                 "there is another realtime node at " + a.address + ", with the " +
                     reply->broker() + " broker, while this one has the " + config_.broker +
                     " broker: several nodes need --broker redis, all of them");
  }
  return ok_status();
}

}  // namespace raymesh::realtime
