#include "services/cache/entries.hpp"

#include <memory>

#include "libs/base/json_writer.hpp"
#include "services/cache/json_value.hpp"
#include "services/cache/keyspace.hpp"
#include "services/cache/probe.hpp"
#include "services/cache/scripts.hpp"

namespace raymesh::cache {
namespace {

using redis::Command;
using redis::Effect;
using redis::Reply;

// From this part of the quota on, an estimate is worth checking.
constexpr double kNearQuota = 0.8;
// What Redis needs for an entry besides its bytes, roughly.
constexpr size_t kEntryOverhead = 64;
constexpr size_t kItemOverhead = 16;

}  // namespace

Entries::Entries(redis::Store& store, const EntryLimits& limits, Probe& probe, NearQuota near_quota)
    : store_(store),
      limits_(limits),
      probe_(probe),
      near_quota_(std::move(near_quota)),
      measured_(10'000) {}

// --- Reading ---

void Entries::read(const Target& target, Command command, redis::Client::Done done) {
  if (Status status = check_entry(target.project, target.key); !status.ok())
    return done(std::move(status).error());
  std::string name = entry_name(target.project, target.key);
  redis::Client& primary = store_.at(name);
  command.arg(name);
  primary.call(std::move(command), Effect::kRead, target.deadline, std::move(done));
}

void Entries::get(const Target& target, Done<std::optional<std::string>> done) {
  read(target, Command("GET"), [this, done = std::move(done)](Result<Reply> reply) mutable {
    if (!reply.ok()) return done(std::move(reply).error());
    probe_.read(!reply->is_nil());
    if (reply->is_nil()) return done(std::optional<std::string>());
    done(std::optional<std::string>(std::move(reply->text)));
  });
}

void Entries::hash_get_all(const Target& target, Done<std::optional<std::string>> done) {
  read(target, Command("HGETALL"), [this, done = std::move(done)](Result<Reply> reply) mutable {
    if (!reply.ok()) return done(std::move(reply).error());
    probe_.read(!reply->items.empty());
    if (reply->items.empty()) return done(std::optional<std::string>());
    std::string text;
    json::Object object(text);
    for (size_t i = 0; i + 1 < reply->items.size(); i += 2)
      object.raw(reply->items[i].text, reply->items[i + 1].text);
    object.end();
    done(std::optional<std::string>(std::move(text)));
  });
}

void Entries::set_members(const Target& target,
                          Done<std::optional<std::vector<std::string>>> done) {
  read(target, Command("SMEMBERS"), [this, done = std::move(done)](Result<Reply> reply) mutable {
    if (!reply.ok()) return done(std::move(reply).error());
    probe_.read(!reply->items.empty());
    if (reply->items.empty()) return done(std::optional<std::vector<std::string>>());
    std::vector<std::string> members;
    members.reserve(reply->items.size());
    for (Reply& item : reply->items) members.push_back(std::move(item.text));
    done(std::optional<std::vector<std::string>>(std::move(members)));
  });
}

// --- Changing ---

Command Entries::change_head(const Target& target, const Change& change) const {
  Command tail;
  tail.reserve(target.key.size() + target.project.size() + change.incoming + 256);
  tail.arg(2)
      .arg(entry_name(target.project, target.key))
      .arg(usage_name(target.project))
      .arg(limits_.quota_bytes)
      .arg(limits_.max_collection_bytes)
      .arg(change.incoming)
      .arg(change.operation);
  return tail;
}

void Entries::change(const Target& target, Command tail, Done<int64_t> done) {
  const size_t primary = store_.pick(entry_name(target.project, target.key));
  store_.primary(primary).eval(
      change_script(), std::move(tail), Effect::kWrite, target.deadline,
      [this, project = target.project, primary,
       done = std::move(done)](Result<Reply> reply) mutable {
        if (!reply.ok()) return done(std::move(reply).error());
        if (reply->items.size() != 2 || !reply->items[0].is_integer())
          return done(redis::unexpected_reply("EVALSHA"));
        const int64_t count = reply->items[0].integer;
        check_usage(project, primary, reply->items[1].integer);
        if (count == kTooLarge)
          return done(Error(errors::kValueTooLarge,
                            "the hash or set would be larger than " +
                                std::to_string(limits_.max_collection_bytes) + " bytes"));
        if (count == kOverQuota) {
          probe_.over_quota();
          return done(Error(errors::kQuotaExceeded,
                            "the project's cache quota of " + std::to_string(limits_.quota_bytes) +
                                " bytes is used up; delete entries or let them expire",
                            kMeasurePeriod));
        }
        probe_.changed();
        done(count);
      });
}

void Entries::check_usage(const std::string& project, size_t primary, int64_t used) {
  if (limits_.quota_bytes == 0 ||
      static_cast<double>(used) < kNearQuota * static_cast<double>(limits_.quota_bytes))
    return;
  {
    std::lock_guard lock(mutex_);
    const std::string name = project + ':' + std::to_string(primary);
    const Clock::time_point now = Clock::now();
    if (auto* last = measured_.get(name); last && now - *last < kMeasurePeriod) return;
    measured_.put(name, now);
  }
  near_quota_(project, primary);
}

void Entries::set(const Target& target, std::string_view json, const SetOptions& options,
                  Done<bool> done) {
  Status status = check_entry(target.project, target.key);
  if (status.ok()) status = check_ttl(options.ttl_seconds);
  if (status.ok()) status = check_json(json, limits_.max_value_bytes, "the value");
  if (!status.ok()) return done(std::move(status).error());
  Command tail = change_head(target, {"SET", json.size() + target.key.size() + kEntryOverhead});
  tail.arg(json).arg(options.ttl_seconds).arg(options.only_if_absent ? "1" : "0");
  change(target, std::move(tail), [done = std::move(done)](Result<int64_t> count) mutable {
    if (!count.ok()) return done(std::move(count).error());
    done(*count == 1);
  });
}

void Entries::erase(const Target& target, Done<bool> done) {
  if (Status status = check_entry(target.project, target.key); !status.ok())
    return done(std::move(status).error());
  change(target, change_head(target, {"DEL", 0}),
         [done = std::move(done)](Result<int64_t> count) mutable {
           if (!count.ok()) return done(std::move(count).error());
           done(*count > 0);
         });
}

void Entries::expire(const Target& target, uint64_t ttl_seconds, Done<bool> done) {
  Status status = check_entry(target.project, target.key);
  if (status.ok()) status = check_ttl(ttl_seconds);
  if (!status.ok()) return done(std::move(status).error());
  const std::string name = entry_name(target.project, target.key);
  redis::Client& primary = store_.at(name);
  auto answer = [done = std::move(done)](Result<Reply> reply) mutable {
    if (!reply.ok()) return done(std::move(reply).error());
    done(reply->integer > 0);
  };
  if (ttl_seconds > 0)
    return primary.call(Command("EXPIRE", name, ttl_seconds), Effect::kWrite, target.deadline,
                        std::move(answer));
  // PERSIST alone answers 0 for an entry without TTL. Both leave in this order; what the first one
  // answers does not matter, because the second has the same fate.
  primary.call(Command("PERSIST", name), Effect::kWrite, target.deadline, [](Result<Reply>) {});
  primary.call(Command("EXISTS", name), Effect::kWrite, target.deadline, std::move(answer));
}

void Entries::hash_set(const Target& target, const Fields& fields, Done<uint64_t> done) {
  Status status = check_entry(target.project, target.key);
  if (status.ok() && fields.empty()) status = Error(errors::kInvalidRequest, "fields is required");
  if (status.ok() && fields.size() > limits_.max_items)
    status = Error(errors::kInvalidRequest,
                   "more than " + std::to_string(limits_.max_items) + " fields in one call");
  size_t bytes = 0;
  for (auto it = fields.begin(); status.ok() && it != fields.end(); ++it) {
    bytes += it->first.size() + it->second.size() + kItemOverhead;
    if (it->first.size() > kMaxKeyBytes)
      status = Error(errors::kInvalidRequest, "the name of a field is longer than " +
                                                  std::to_string(kMaxKeyBytes) + " bytes");
    else if (bytes > limits_.max_value_bytes + kItemOverhead * fields.size())
      status =
          Error(errors::kValueTooLarge, "the fields together are larger than " +
                                            std::to_string(limits_.max_value_bytes) + " bytes");
    else
      status = check_json(it->second, limits_.max_value_bytes, "the value of a field");
  }
  if (!status.ok()) return done(std::move(status).error());
  Command tail = change_head(target, {"HSET", bytes});
  for (const auto& [name, value] : fields) tail.arg(name).arg(value);
  change(target, std::move(tail),
         [done = std::move(done), written = fields.size()](Result<int64_t> count) mutable {
           if (!count.ok()) return done(std::move(count).error());
           done(uint64_t{written});
         });
}

void Entries::members_changed(const Target& target, std::string_view operation,
                              const std::vector<std::string_view>& members, Done<uint64_t> done) {
  Status status = check_entry(target.project, target.key);
  if (status.ok() && members.empty())
    status = Error(errors::kInvalidRequest, "members is required");
  if (status.ok() && members.size() > limits_.max_items)
    status = Error(errors::kInvalidRequest,
                   "more than " + std::to_string(limits_.max_items) + " members in one call");
  size_t bytes = 0;
  for (std::string_view member : members) bytes += member.size() + kItemOverhead;
  if (status.ok() && bytes > limits_.max_value_bytes + kItemOverhead * members.size())
    status = Error(errors::kValueTooLarge, "the members together are larger than " +
                                               std::to_string(limits_.max_value_bytes) + " bytes");
  if (!status.ok()) return done(std::move(status).error());
  Command tail = change_head(target, {operation, bytes});
  for (std::string_view member : members) tail.arg(member);
  change(target, std::move(tail), [done = std::move(done)](Result<int64_t> count) mutable {
    if (!count.ok()) return done(std::move(count).error());
    done(static_cast<uint64_t>(*count));
  });
}

void Entries::set_add(const Target& target, const std::vector<std::string_view>& members,
                      Done<uint64_t> done) {
  members_changed(target, "SADD", members, std::move(done));
}

void Entries::set_remove(const Target& target, const std::vector<std::string_view>& members,
                         Done<uint64_t> done) {
  members_changed(target, "SREM", members, std::move(done));
}

}  // namespace raymesh::cache
