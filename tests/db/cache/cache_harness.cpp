#include "tests/db/cache/cache_harness.hpp"

#include <poll.h>

#include <algorithm>
#include <chrono>
#include <future>
#include <stdexcept>

#include "raymesh/common/v1/calls.pb.h"

namespace raymesh::cache {
namespace {

using namespace std::chrono_literals;

v1::KeyRequest key_request(const std::string& key) {
  v1::KeyRequest request;
  request.set_key(key);
  return request;
}

std::optional<std::string> value_of(const v1::ValueReply& reply) {
  if (!reply.found()) return std::nullopt;
  return reply.json();
}

}  // namespace

bool eventually(const std::function<bool()>& condition) {
  const auto deadline = std::chrono::steady_clock::now() + 20s;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    poll(nullptr, 0, 10);
  }
  return true;
}

CacheHarness::CacheHarness(uint64_t quota, std::vector<std::string> cache_options)
    : cache_redis(std::move(cache_options)) {
  Config config;
  config.listen = "";
  config.cache_urls = {cache_redis.url()};
  config.state_urls = {state_redis.url()};
  config.quota = quota;
  app_ = make_app(config, env_);
  if (Status status = app_->start(); !status.ok()) throw std::runtime_error(status.error().message);
  rpc::PeerConfig peer;
  peer.service = "raymesh.cache.v1.Cache";
  peer_ = rpc::in_process_peer(std::move(peer), app_->server());
  if (!eventually([this] { return peer_->ready() && ready().ok(); }))
    throw std::runtime_error("the cache service did not get ready");
}

CacheHarness::~CacheHarness() {
  stop();
}

void CacheHarness::stop() {
  peer_->close();
  app_->stop(1s);
}

Status CacheHarness::ready() {
  for (const host::Check& check : app_->checks()) {
    Status status = check.ready();
    if (!status.ok()) return status;
  }
  return ok_status();
}

Result<std::string> CacheHarness::send(const std::string& method, std::string payload,
                                       const std::string& project) {
  common::v1::CallContext context;
  context.set_project(project);
  rpc::CallOptions options;
  options.timeout = 10s;
  auto answer = std::make_shared<std::promise<Result<std::string>>>();
  auto future = answer->get_future();
  peer_->call(method, context, std::move(payload), options,
              [answer](Result<std::string> result) { answer->set_value(std::move(result)); });
  return future.get();
}

Result<std::optional<std::string>> CacheHarness::get(const std::string& key,
                                                     const std::string& project) {
  RAYMESH_TRY(auto reply, call<v1::ValueReply>("Get", key_request(key), project));
  return value_of(reply);
}

Result<bool> CacheHarness::set(const std::string& key, const std::string& json, uint64_t ttl,
                               bool only_if_absent, const std::string& project) {
  v1::SetRequest request;
  request.set_key(key);
  request.set_json(json);
  request.set_ttl_seconds(ttl);
  request.set_only_if_absent(only_if_absent);
  RAYMESH_TRY(auto reply, call<v1::SetReply>("Set", request, project));
  return reply.set();
}

Result<bool> CacheHarness::erase(const std::string& key, const std::string& project) {
  RAYMESH_TRY(auto reply, call<v1::BoolReply>("Delete", key_request(key), project));
  return reply.value();
}

Result<bool> CacheHarness::expire(const std::string& key, uint64_t ttl) {
  v1::ExpireRequest request;
  request.set_key(key);
  request.set_ttl_seconds(ttl);
  RAYMESH_TRY(auto reply, call<v1::BoolReply>("Expire", request));
  return reply.value();
}

Result<uint64_t> CacheHarness::hash_set(
    const std::string& key, const std::vector<std::pair<std::string, std::string>>& fields) {
  v1::HashSetRequest request;
  request.set_key(key);
  for (const auto& [name, value] : fields) (*request.mutable_fields())[name] = value;
  RAYMESH_TRY(auto reply, call<v1::CountReply>("HashSet", request));
  return uint64_t{reply.count()};
}

Result<std::optional<std::string>> CacheHarness::hash_get_all(const std::string& key) {
  RAYMESH_TRY(auto reply, call<v1::ValueReply>("HashGetAll", key_request(key)));
  return value_of(reply);
}

Result<uint64_t> CacheHarness::change_set(const std::string& method, const std::string& key,
                                          const std::vector<std::string>& members) {
  v1::MembersRequest request;
  request.set_key(key);
  for (const std::string& member : members) request.add_members(member);
  RAYMESH_TRY(auto reply, call<v1::CountReply>(method, request));
  return uint64_t{reply.count()};
}

Result<std::optional<std::vector<std::string>>> CacheHarness::members(const std::string& key) {
  RAYMESH_TRY(auto reply, call<v1::MembersReply>("SetMembers", key_request(key)));
  if (!reply.found()) return std::optional<std::vector<std::string>>();
  std::vector<std::string> all(reply.members().begin(), reply.members().end());
  std::sort(all.begin(), all.end());
  return std::optional<std::vector<std::string>>(std::move(all));
}

Result<v1::LeaseTokensReply> CacheHarness::lease(const std::string& bucket, double per_second,
                                                 double burst, double want) {
  v1::LeaseTokensRequest request;
  request.set_bucket(bucket);
  request.set_per_second(per_second);
  request.set_burst(burst);
  request.set_want(want);
  return call<v1::LeaseTokensReply>("LeaseTokens", request, "");
}

}  // namespace raymesh::cache
