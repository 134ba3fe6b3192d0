#include "services/gateway/raystream_limits.hpp"

#include <algorithm>

namespace raymesh::gateway {
namespace {

// What all together may shake at once: a tenth of a second's worth.
double burst_of_all(const RaystreamConfig& config) {
  return std::max(1.0, config.handshake_rate / 10);
}

}  // namespace

RaystreamLimits::RaystreamLimits(const RaystreamConfig& config, Clock::time_point now)
    : config_(config), all_{burst_of_all(config), now} {}

bool RaystreamLimits::Bucket::take(double rate, double burst, Clock::time_point now) {
  const double seconds = std::max(0.0, std::chrono::duration<double>(now - at).count());
  tokens = std::min(burst, tokens + seconds * rate);
  at = std::max(at, now);
  if (tokens < 1) return false;
  tokens -= 1;
  return true;
}

bool RaystreamLimits::open(const std::string& address) {
  const std::lock_guard lock(mutex_);
  if (sessions_ >= static_cast<size_t>(config_.max_sessions)) return false;
  if (unattached_ >= static_cast<size_t>(config_.max_unattached)) return false;
  const auto it = strangers_.find(address);
  if (it != strangers_.end()) {
    if (it->second >= static_cast<size_t>(config_.max_unattached_per_address)) return false;
    ++it->second;
  } else {
    strangers_.emplace(address, 1);
  }
  ++sessions_;
  ++unattached_;
  return true;
}

void RaystreamLimits::forget_stranger(const std::string& address) {
  --unattached_;
  const auto it = strangers_.find(address);
  if (it != strangers_.end() && --it->second == 0) strangers_.erase(it);
}

void RaystreamLimits::attached(const std::string& address) {
  const std::lock_guard lock(mutex_);
  forget_stranger(address);
}

void RaystreamLimits::closed(const std::string& address, bool was_attached) {
  const std::lock_guard lock(mutex_);
  --sessions_;
  if (!was_attached) forget_stranger(address);
}

bool RaystreamLimits::handshake(const std::string& address, Clock::time_point now) {
  const std::lock_guard lock(mutex_);
  Bucket* bucket = buckets_.get(address);
  if (!bucket) bucket = &buckets_.put(address, {config_.address_handshake_burst, now});
  // The address first: one that floods takes nothing from the others' share.
  return bucket->take(config_.address_handshake_rate, config_.address_handshake_burst, now) &&
         all_.take(config_.handshake_rate, burst_of_all(config_), now);
}

size_t RaystreamLimits::sessions() const {
  const std::lock_guard lock(mutex_);
  return sessions_;
}

size_t RaystreamLimits::unattached() const {
  const std::lock_guard lock(mutex_);
  return unattached_;
}

}  // namespace raymesh::gateway
