#include "services/realtime/node_lease.hpp"

#include <algorithm>
#include <charconv>
#include <ctime>
#include <utility>

#include "libs/telemetry/log.hpp"
#include "services/realtime/redis_scripts.hpp"

namespace raymesh::realtime {
namespace {

using redis::Effect;
using redis::Reply;
using std::chrono::microseconds;

constexpr std::chrono::milliseconds kRetry{250};

redis::Client::Clock::time_point deadline() {
  return redis::Client::Clock::now() + std::chrono::seconds(2);
}

uint64_t version_of(const std::string& text) {
  uint64_t version = 0;
  std::from_chars(text.data(), text.data() + text.size(), version);
  return version;
}

}  // namespace

microseconds boot_time() {
  timespec now{};
  clock_gettime(CLOCK_BOOTTIME, &now);
  return std::chrono::seconds(now.tv_sec) + microseconds(now.tv_nsec / 1000);
}

void NodeLease::abandon(std::chrono::milliseconds wait) {
  if (incarnation_ == 0) return;
  if (!std::exchange(abandoned_, true)) register_at_ = boot_time() + wait;
  // A reason that cannot wait.
  register_at_ = std::min(register_at_, boot_time() + microseconds(wait));
}

void NodeLease::hurry() {
  renew_at_ = microseconds(0);
  tick();
}

void NodeLease::tick() {
  if (ended_ || asking_ || !client_.ready()) return;
  const microseconds now = boot_time();
  if (incarnation_ != 0 && !abandoned_ && now >= valid_until_) {
    log::warn("this node's lease has ended: it was stopped or cut off",
              {{"redis", client_.name()}});
    abandon();
  }
  if (incarnation_ == 0 || abandoned_) {
    if (now >= register_at_) return take_new();
    // The old one goes on for so long.
    if (incarnation_ == 0) return;
  }
  if (now >= renew_at_) renew();
}

void NodeLease::take_new() {
  asking_ = true;
  const NodeId fresh = new_epoch();
  const microseconds sent = boot_time();
  redis::Command tail;
  tail.arg(0).arg(node_text(fresh)).arg(node_text(node_)).arg(lease_.count());
  client_.eval(scripts::register_node(), std::move(tail), Effect::kWrite, deadline(),
               [this, alive = std::weak_ptr<int>(alive_), fresh, sent](Result<Reply> reply) {
                 if (alive.expired()) return;
                 asking_ = false;
                 if (ended_) return;
                 if (!reply.ok() || reply->items.size() != 2 || boot_time() >= sent + lease_) {
                   register_at_ = boot_time() + kRetry;
                   return;
                 }
                 if (previous_ != 0) drop(previous_);
                 previous_ = std::exchange(incarnation_, fresh);
                 generation_ = reply->items[0].text;
                 abandoned_ = false;
                 valid_until_ = sent + lease_;
                 renew_at_ = sent + microseconds(lease_) / 4;
                 owner_.registered();
                 owner_.ring_told(version_of(reply->items[1].text));
               });
}

void NodeLease::renew() {
  asking_ = true;
  renew_at_ = microseconds(1);
  const microseconds sent = boot_time();
  redis::Command tail;
  tail.arg(0).arg(lease_.count()).arg(node_text(incarnation_));
  if (previous_ != 0) tail.arg(node_text(previous_));
  client_.eval(scripts::renew(), std::move(tail), Effect::kWrite, deadline(),
               [this, alive = std::weak_ptr<int>(alive_), sent](Result<Reply> reply) {
                 if (alive.expired()) return;
                 asking_ = false;
                 if (ended_) return;
                 if (!reply.ok() || reply->items.size() < 3) {
                   renew_at_ = sent + kRetry;
                   return;
                 }
                 owner_.ring_told(version_of(reply->items.back().text));
                 if (ended_) return;
                 // Another generation: Redis may have forgotten the last things that it was told.
                 if (reply->items[1].integer != 1 || reply->items[0].text != generation_) {
                   log::warn("Redis has lost this node's lease or was restarted",
                             {{"redis", client_.name()}});
                   abandon();
                   return tick();
                 }
                 valid_until_ = sent + lease_;
                 // Somebody is in a hurry again: this answer may be of before what it wants to
                 // know.
                 if (renew_at_ == microseconds(0)) return tick();
                 renew_at_ = sent + microseconds(lease_) / 4;
                 owner_.renewed();
               });
}

void NodeLease::drop(NodeId incarnation) {
  client_.call(redis::Command("DEL", "rm:rt:lease:" + node_text(incarnation)), Effect::kWrite,
               deadline(), [](const Result<Reply>&) {});
}

void NodeLease::settled() {
  if (previous_ != 0) drop(std::exchange(previous_, 0));
}

void NodeLease::end(UniqueFunction<void()> done) {
  ended_ = true;
  settled();
  if (incarnation_ == 0) return done();
  client_.call(redis::Command("DEL", "rm:rt:lease:" + node_text(incarnation_)), Effect::kWrite,
               deadline(), [done = std::move(done)](const Result<Reply>&) mutable { done(); });
}

}  // namespace raymesh::realtime
