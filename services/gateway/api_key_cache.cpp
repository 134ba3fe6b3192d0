#include "services/gateway/api_key_cache.hpp"

#include <algorithm>

namespace raymesh::gateway {

ApiKeyCache::Found ApiKeyCache::look_up(std::string_view text, Clock::time_point now) {
  const std::string& hash = looked_up_.assign(text);
  if (Known* k = known_.get(hash)) {
    if (now >= k->expires) {
      known_.erase(hash);
      return {Found::State::kMiss, nullptr};
    }
    Found found{Found::State::kKnown, k->info, now >= k->refresh};
    // If that answer does not come, the next one asks again before the entry's end.
    if (found.refresh) k->refresh = now + (config_.known_life - config_.refresh_age) / 4;
    Recent& recent = recent_of(hash);
    recent.hash = hash;
    recent.info = k->info;
    recent.until = std::min(k->refresh, k->expires);
    return found;
  }
  if (const Clock::time_point* until = unknown_.get(hash)) {
    if (now < *until) return {Found::State::kUnknown, nullptr};
    unknown_.erase(hash);
  }
  return {Found::State::kMiss, nullptr};
}

void ApiKeyCache::put(const std::string& hash, KeyInfoPtr info, Clock::time_point now) {
  if (Recent& recent = recent_of(hash); recent.hash == hash) recent = {};
  if (!info) {
    known_.erase(hash);
    unknown_.put(hash, now + config_.unknown_life);
    return;
  }
  unknown_.erase(hash);
  known_.put(hash, {std::move(info), now + config_.known_life, now + config_.refresh_age});
}

}  // namespace raymesh::gateway
