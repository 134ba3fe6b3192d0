#include "services/realtime/redis_keys.hpp"

#include <random>

#include "services/realtime/redis_scripts.hpp"

namespace raymesh::realtime {

uint64_t propose_epoch() {
  thread_local std::mt19937_64 random = [] {
    std::random_device device;
    std::seed_seq seed{device(), device(), device(), device()};
    return std::mt19937_64(seed);
  }();
  const uint64_t epoch = random();
  return epoch == 0 ? 1 : epoch;
}

bool is_old_ring(const redis::Reply& reply) {
  return reply.is_integer() && reply.integer == scripts::kOldRing;
}

bool was_refused(const Error& error) {
  return error.is(errors::kUnavailable) || error.is(errors::kOverloaded);
}

Error answer_of_write(const Error& error) {
  // It was sent, and Redis has said nothing about it.
  if (error.is(errors::kDeadlineExceeded))
    return {errors::kOutcomeUnknown, error.message, error.retry_after};
  return error;
}

}  // namespace raymesh::realtime
