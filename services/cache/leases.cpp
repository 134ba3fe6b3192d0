#include "services/cache/leases.hpp"

#include <cmath>

#include "libs/base/json_writer.hpp"
#include "services/cache/keyspace.hpp"
#include "services/cache/probe.hpp"
#include "services/cache/scripts.hpp"

namespace raymesh::cache {
namespace {

constexpr double kMostTokens = 1e9;
constexpr double kSlowestRefill = 1e-6;  // one token in twelve days

std::string number(double value) {
  std::string text;
  json::append_double(text, value);
  return text;
}

}  // namespace

Status check_lease(const LeaseRequest& request) {
  auto within = [](double value, double least) {
    return std::isfinite(value) && value >= least && value <= kMostTokens;
  };
  if (request.bucket.empty() || request.bucket.size() > kMaxKeyBytes)
    return Error(errors::kInvalidRequest, "the bucket's name has 1 to 512 bytes");
  if (!within(request.per_second, kSlowestRefill))
    return Error(errors::kInvalidRequest, "per_second is not within 1e-6 and 1e9");
  if (!within(request.burst, 1) || !within(request.want, 1))
    return Error(errors::kInvalidRequest, "burst or want is not within 1 and 1e9");
  return ok_status();
}

void Leases::lease(const LeaseRequest& request, Clock::time_point deadline,
                   UniqueFunction<void(Result<Lease>)> done) {
  if (Status status = check_lease(request); !status.ok()) return done(std::move(status).error());
  redis::Command tail;
  tail.arg(1)
      .arg("lease:" + request.bucket)
      .arg(number(request.per_second))
      .arg(number(request.burst))
      .arg(number(request.want));
  store_.at(request.bucket)
      .eval(lease_script(), std::move(tail), redis::Effect::kWrite, deadline,
            [this, done = std::move(done)](Result<redis::Reply> reply) mutable {
              if (!reply.ok()) return done(std::move(reply).error());
              if (reply->items.size() != 2 || !reply->items[0].is_integer())
                return done(redis::unexpected_reply("EVALSHA"));
              Lease lease;
              lease.granted = static_cast<double>(reply->items[0].integer);
              lease.retry_after = std::chrono::milliseconds(reply->items[1].integer);
              lease.life = kLife;
              if (lease.granted > 0)
                probe_.leased(lease.granted);
              else
                probe_.lease_empty();
              done(lease);
            });
}

}  // namespace raymesh::cache
