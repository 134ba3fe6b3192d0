#include "services/gateway/rate_gate.hpp"

#include <cstring>

#include "raymesh/cache/v1/cache.pb.h"
#include "services/gateway/core.hpp"
#include "services/gateway/edge_rules.hpp"

namespace raymesh::gateway {
namespace {

// Requests may wait for a lease, so a cache service that does not answer must not hold them long.
constexpr std::chrono::milliseconds kLeaseTimeout{300};

constexpr int64_t kMaxLeases = 1'024;  // under way

using State = RateLimiter::Verdict::State;

}  // namespace

// Who collides with another one only takes the longer way, so the end of the address will do.
RatePasses::Pass& RatePasses::find(const KeyInfoPtr& key, const std::string& address) {
  uint64_t hash = 0;
  if (address.size() >= sizeof hash)
    std::memcpy(&hash, address.data() + address.size() - sizeof hash, sizeof hash);
  hash ^= reinterpret_cast<uintptr_t>(key.get());
  hash *= 0x9e3779b97f4a7c15;  // the golden ratio's bits: the upper ones depend on all
  Pass& pass = passes_[hash >> 32 & (kPasses - 1)];
  // A key that has been asked for again may have other limits.
  if (pass.key != key || pass.address != address) {
    pass.key = key;
    pass.address = address;
    pass.key_draw = pass.address_draw = {};
  }
  return pass;
}

RateGate::RateGate(Core& core, size_t threads)
    : core_(core), limiter_(static_cast<size_t>(core.config.max_rate_buckets), threads) {}

RateGate::Verdict RateGate::try_once(size_t thread, RatePasses::Pass& pass, Passed& passed,
                                     Clock::time_point now, std::string& waits_for) {
  thread_local std::string name;  // built again and again, allocated once
  const Config& config = core_.config;
  const KeyInfo& key = *pass.key;
  if (passed == Passed::kNothing) {
    name.assign("key/").append(key.key_id);
    BucketLimits limits{config.key_rate, config.key_burst};
    if (key.rate_limit) limits = {key.rate_limit->per_second, key.rate_limit->burst};
    auto verdict = limiter_.spend(name, limits, now, thread, pass.key_draw);
    if (verdict.wish) carry(std::move(*verdict.wish));
    if (verdict.state == State::kWait) waits_for = name;
    if (verdict.state != State::kAdmitted) return {verdict.state, verdict.retry_after, "API key"};
    passed = Passed::kKey;
  }
  name.assign("addr/").append(key.key_id).append("/").append(address_bucket(pass.address));
  auto verdict = limiter_.spend(name, {config.address_rate, config.address_burst}, now, thread,
                                pass.address_draw);
  if (verdict.wish) carry(std::move(*verdict.wish));
  if (verdict.state == State::kWait) waits_for = name;
  if (verdict.state == State::kRefused) limiter_.refund("key/" + key.key_id);
  return {verdict.state, verdict.retry_after, "client address"};
}

void RateGate::carry(LeaseWish wish) {
  // A flood of new addresses must not become a flood of leases: beyond this the process keeps to
  // those buckets' limits by itself.
  if (leases_.fetch_add(1, std::memory_order_relaxed) >= kMaxLeases) {
    leases_.fetch_sub(1, std::memory_order_relaxed);
    limiter_.failed(wish.bucket, Clock::now());
    return;
  }
  cache::v1::LeaseTokensRequest request;
  request.set_bucket(wish.bucket);
  request.set_per_second(wish.limits.per_second);
  request.set_burst(wish.limits.burst);
  request.set_want(wish.want);
  rpc::CallOptions options;
  options.timeout = kLeaseTimeout;
  core_.calls.fetch_add(1);
  core_.peers.cache->call<cache::v1::LeaseTokensReply>(
      "LeaseTokens", {}, request, options,
      [this, bucket = std::move(wish.bucket)](Result<cache::v1::LeaseTokensReply> reply) {
        const auto now = Clock::now();
        if (reply.ok()) {
          limiter_.granted(bucket,
                           {reply->granted(), std::chrono::milliseconds(reply->retry_after_ms()),
                            std::chrono::milliseconds(reply->lease_ms())},
                           now);
        } else {
          core_.probe.lease_failed();
          limiter_.failed(bucket, now);
        }
        leases_.fetch_sub(1, std::memory_order_relaxed);
        core_.calls.fetch_sub(1);
      });
}

}  // namespace raymesh::gateway
