#include "services/auth/login_throttle.hpp"

#include <algorithm>
#include <cmath>

namespace raymesh::auth {
namespace {

using std::chrono::milliseconds;

// Until there is a whole token.
milliseconds wait_for_token(double tokens, milliseconds refill) {
  if (tokens >= 1) return milliseconds(0);
  const double missing = (1 - tokens) * static_cast<double>(refill.count());
  // Tokens are sums of fractions: a microsecond more is an error of rounding.
  return milliseconds(std::max<int64_t>(1, std::llround(std::ceil(missing - 0.001))));
}

}  // namespace

LoginThrottle::Bucket& LoginThrottle::refilled(Buckets& buckets, const std::string& key,
                                               double burst, milliseconds refill,
                                               Clock::time_point now) {
  Bucket* bucket = buckets.get(key);
  if (bucket == nullptr) return buckets.put(key, {burst, now});
  const double came =
      std::chrono::duration<double>(now - bucket->at) / std::chrono::duration<double>(refill);
  bucket->tokens = std::min(burst, bucket->tokens + std::max(0.0, came));
  bucket->at = now;
  return *bucket;
}

void LoginThrottle::give_back(Buckets& buckets, const std::string& key) {
  // More than the burst is cut off when the bucket is used next.
  if (Bucket* bucket = buckets.get(key)) bucket->tokens += 1;
}

milliseconds LoginThrottle::begin(const Attempt& attempt, Clock::time_point now) {
  Bucket* account = nullptr;
  Bucket* address = nullptr;
  milliseconds wait(0);
  if (!attempt.account.empty()) {
    account =
        &refilled(accounts_, attempt.account, config_.account_burst, config_.account_refill, now);
    wait = wait_for_token(account->tokens, config_.account_refill);
  }
  if (!attempt.address.empty()) {
    address =
        &refilled(addresses_, attempt.address, config_.address_burst, config_.address_refill, now);
    wait = std::max(wait, wait_for_token(address->tokens, config_.address_refill));
  }
  // All or nothing: an attempt that is refused costs no tokens.
  if (wait > milliseconds(0)) return wait;
  if (account != nullptr) account->tokens -= 1;
  if (address != nullptr) address->tokens -= 1;
  return wait;
}

void LoginThrottle::succeeded(const Attempt& attempt) {
  accounts_.erase(attempt.account);
  give_back(addresses_, attempt.address);
}

void LoginThrottle::cancelled(const Attempt& attempt) {
  give_back(accounts_, attempt.account);
  give_back(addresses_, attempt.address);
}

}  // namespace raymesh::auth
