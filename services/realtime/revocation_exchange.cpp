#include "services/realtime/revocation_exchange.hpp"

#include <algorithm>

#include "services/realtime/redis_keys.hpp"
#include "services/realtime/redis_scripts.hpp"
#include "services/realtime/revocation_list.hpp"

namespace raymesh::realtime {
namespace {

using redis::Effect;
using redis::Reply;
using SteadyClock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kTimeout{1'000};
constexpr size_t kMostKept = 4 * RevocationList::kMostOfProject;
constexpr size_t kPage = 1'000;
constexpr size_t kMaxOpen = 10'000;

SteadyClock::time_point deadline() {
  return SteadyClock::now() + std::chrono::seconds(2);
}

}  // namespace

bool RevocationExchange::is_new(const std::string& encoded) {
  if (!known_.insert(encoded).second) return false;
  known_order_.push_back(encoded);
  if (known_order_.size() > kMostKept) {
    known_.erase(known_order_.front());
    known_order_.pop_front();
  }
  return true;
}

void RevocationExchange::act(const Revocation& revocation, UniqueFunction<void(uint64_t)> done) {
  node_.revoke(revocation, [this, done = std::move(done)](uint64_t connections) mutable {
    run_([done = std::move(done), connections]() mutable { done(connections); });
  });
}

void RevocationExchange::revoke(Revocation revocation, Answer<RevokeReport> done) {
  if (open_.size() >= kMaxOpen)
    return done(Error(errors::kOverloaded, "too many revocations are under way",
                      std::chrono::milliseconds(1000)));
  const uint64_t number = new_epoch();
  Open& open = open_[number];
  open.done = std::move(done);
  open.deadline = SteadyClock::now() + kTimeout;
  const auto& primaries = primaries_->view().primaries;
  open.asked = primaries.size();
  open.expected.insert(self_);

  // Here at once, whatever becomes of Redis.
  const std::string encoded = encode(revocation);
  is_new(encoded);
  act(revocation, [this, number](uint64_t connections) { closed(number, self_, connections); });

  const std::string message = encode(RevocationMessage{number, self_, revocation});
  for (RedisPrimary* primary : primaries) {
    redis::Command tail("0", encoded, revocation.keep_until, kMostKept, message);
    primary->client().eval(scripts::revoke(), std::move(tail), Effect::kWrite, deadline(),
                           [this, number](const Result<Reply>& reply) {
                             const auto it = open_.find(number);
                             if (it == open_.end()) return;
                             Open& asked = it->second;
                             --asked.asked;
                             if (!reply.ok()) {
                               asked.error = answer_of_write(reply.error());
                             } else if (reply->items.empty() || reply->items[0].integer != 1) {
                               asked.error = Error(errors::kOverloaded,
                                                   "as many revocations are kept as may be",
                                                   std::chrono::seconds(60));
                             } else {
                               ++asked.kept;
                               for (size_t i = 1; i < reply->items.size(); ++i)
                                 if (const auto node = parse_node(reply->items[i].text))
                                   asked.expected.insert(*node);
                             }
                             check(number, false);
                           });
  }
}

void RevocationExchange::closed(uint64_t number, NodeId node, uint64_t connections) {
  const auto it = open_.find(number);
  if (it == open_.end()) return;
  it->second.closed[node] = connections;
  check(number, false);
}

void RevocationExchange::check(uint64_t number, bool late) {
  const auto it = open_.find(number);
  if (it == open_.end()) return;
  Open& open = it->second;
  const bool all =
      open.asked == 0 && std::all_of(open.expected.begin(), open.expected.end(),
                                     [&](NodeId node) { return open.closed.contains(node); });
  if (!all && !late) return;
  RevokeReport report;
  for (const auto& [node, connections] : open.closed) report.closed += connections;
  report.nodes = open.closed.size();
  for (const NodeId node : open.expected) report.unreached += open.closed.contains(node) ? 0 : 1;
  Answer<RevokeReport> done = std::move(open.done);
  const bool kept = open.kept > 0;
  const Error error = open.asked > 0 && open.kept == 0
                          ? Error(errors::kOutcomeUnknown, "Redis did not answer in time")
                          : open.error;
  open_.erase(it);
  if (kept)
    done(report);
  else
    done(error);
}

void RevocationExchange::tick() {
  const auto now = SteadyClock::now();
  std::vector<uint64_t> late;
  for (const auto& [number, open] : open_)
    if (open.deadline <= now) late.push_back(number);
  for (const uint64_t number : late) check(number, true);
}

void RevocationExchange::on_message(RedisPrimary& primary, ControlMessage& message) {
  if (const auto* answer = std::get_if<ClosedMessage>(&message))
    return closed(answer->number, answer->node, answer->closed);
  const auto* revocation = std::get_if<RevocationMessage>(&message);
  if (!revocation || revocation->tell == self_) return;
  // With several primaries it comes over each of them.
  if (!is_new(encode(revocation->revocation) + std::to_string(revocation->number))) return;
  is_new(encode(revocation->revocation));
  act(revocation->revocation,
      [this, &primary, number = revocation->number, to = revocation->tell](uint64_t connections) {
        primary.client().call(redis::Command("SPUBLISH", node_topic(to),
                                             encode(ClosedMessage{number, self_, connections})),
                              Effect::kWrite, deadline(), [](const Result<Reply>&) {});
      });
}

void RevocationExchange::load(RedisPrimary& primary) {
  load_page(primary, 0);
}

// From the latest on: what expires meanwhile goes at the other end, so no page leaves one out.
void RevocationExchange::load_page(RedisPrimary& primary, size_t from) {
  primary.client().call(
      redis::Command("ZREVRANGEBYSCORE", "rm:rt:revoked", "+inf", "-inf", "LIMIT", from, kPage),
      Effect::kRead, deadline(), [this, &primary, from](const Result<Reply>& reply) {
        // Without the client's link there is none of ours either: it comes back and asks again.
        if (!reply.ok()) return primary.read_again();
        for (const Reply& item : reply->items) {
          const auto revocation = decode_revocation(item.text);
          if (revocation && is_new(item.text)) act(*revocation, [](uint64_t) {});
        }
        if (reply->items.size() == kPage) load_page(primary, from + kPage);
      });
}

void RevocationExchange::copy(const RedisPrimaries::View& before, const RedisPrimaries::View& now) {
  std::vector<RedisPrimary*> fresh;
  for (RedisPrimary* primary : now.primaries)
    if (!before.has(primary)) fresh.push_back(primary);
  if (fresh.empty()) return;
  // Each of the ring keeps all of them.
  for (RedisPrimary* primary : before.primaries)
    if (primary->client().ready()) return copy_page(*primary, std::move(fresh), 0);
}

void RevocationExchange::copy_page(RedisPrimary& from, std::vector<RedisPrimary*> to,
                                   size_t first) {
  from.client().call(redis::Command("ZREVRANGEBYSCORE", "rm:rt:revoked", "+inf", "-inf",
                                    "WITHSCORES", "LIMIT", first, kPage),
                     Effect::kRead, deadline(),
                     [this, &from, to = std::move(to), first](const Result<Reply>& reply) mutable {
                       if (!reply.ok() || reply->items.empty()) return;
                       for (RedisPrimary* primary : to) {
                         redis::Command tail;
                         tail.arg(0);
                         for (const Reply& item : reply->items) tail.arg(item.text);
                         primary->client().eval(scripts::keep_revocations(), std::move(tail),
                                                Effect::kWrite, deadline(),
                                                [](const Result<Reply>&) {});
                       }
                       if (reply->items.size() == 2 * kPage)
                         copy_page(from, std::move(to), first + kPage);
                     });
}

void RevocationExchange::close() {
  while (!open_.empty()) check(open_.begin()->first, true);
}

}  // namespace raymesh::realtime
