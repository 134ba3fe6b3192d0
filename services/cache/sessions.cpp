#include "services/cache/sessions.hpp"

#include <algorithm>
#include <charconv>
#include <memory>
#include <mutex>

#include "services/cache/keyspace.hpp"
#include "services/cache/probe.hpp"
#include "services/cache/scripts.hpp"

namespace raymesh::cache {
namespace {

constexpr size_t kIdBytes = 36;
constexpr size_t kMaxOwner = 64;

bool is_position(const std::string& text) {
  return text.size() <= 41 && std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= '0' && c <= '9') || c == '-';
         });
}

bool is_owner(const std::string& owner) {
  return !owner.empty() && owner.size() <= kMaxOwner &&
         std::all_of(owner.begin(), owner.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '-' || c == '_';
         });
}

Error bad(const char* what) {
  return Error(errors::kInvalidRequest, what);
}

uint64_t number(const redis::Reply& reply) {
  uint64_t value = 0;
  if (reply.is_string())
    std::from_chars(reply.text.data(), reply.text.data() + reply.text.size(), value);
  return value;
}

// {id, {"i", session, "g", generation}}
bool take_lost(const redis::Reply& entry, LostSessions& out, std::string& after) {
  if (entry.items.size() != 2 || entry.items[1].items.size() != 4) return false;
  const auto& fields = entry.items[1].items;
  out.lost.push_back({fields[1].text, number(fields[3])});
  after = entry.items[0].text;
  return true;
}

// The answers of several primaries, gathered on Redis' I/O threads.
template <class T>
struct Gathering {
  Gathering(T start, size_t primaries, Sessions::Done<T> when_done)
      : answer(std::move(start)), open(primaries), done(std::move(when_done)) {}

  std::mutex mutex;
  Result<T> answer;
  size_t open;
  Sessions::Done<T> done;
};

}  // namespace

Status check_session_id(const std::string& id) {
  const bool fits = id.size() == kIdBytes && std::all_of(id.begin(), id.end(), [](char c) {
                      return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || c == '-';
                    });
  if (!fits) return bad("session_id is not a UUID");
  return ok_status();
}

Status check_session_write(const SessionWrite& write) {
  RAYMESH_CHECK_OK(check_session_id(write.session_id));
  auto within = [](uint64_t n) { return n >= 1 && n <= Sessions::kMaxGeneration; };
  if (!within(write.generation) || !within(write.version))
    return bad("generation or version is not within 1 and 2^48");
  if (!is_owner(write.owner) || (!write.lost_by.empty() && !is_owner(write.lost_by)))
    return bad("an owner has 1 to 64 characters of [A-Za-z0-9_-]");
  if (write.state.empty() || write.state.size() > Sessions::kMaxState)
    return bad("the state is empty or above 1 MiB");
  if (write.ttl_ms == 0 || write.ttl_ms > Sessions::kMaxTtlMs)
    return bad("ttl_ms is not within 1 and 31 days");
  return ok_status();
}

void Sessions::get(const std::string& session_id, Clock::time_point deadline,
                   Done<SessionRecord> done) {
  if (Status status = check_session_id(session_id); !status.ok())
    return done(std::move(status).error());
  store_.at(session_id)
      .call(redis::Command("HMGET", session_name(session_id), "g", "v", "o", "s", "c"),
            redis::Effect::kRead, deadline,
            [this, done = std::move(done)](Result<redis::Reply> reply) mutable {
              if (!reply.ok()) return done(std::move(reply).error());
              if (reply->items.size() != 5) return done(redis::unexpected_reply("HMGET"));
              auto& fields = reply->items;
              SessionRecord record;
              // A mark of a session that has ended has no state.
              record.found = fields[3].is_string();
              if (record.found) {
                record.generation = number(fields[0]);
                record.version = number(fields[1]);
                record.owner = std::move(fields[2].text);
                record.state = std::move(fields[3].text);
                record.confirmed = fields[4].is_string() && fields[4].text == fields[0].text;
              }
              probe_.session_read(record.found);
              done(std::move(record));
            });
}

void Sessions::put(const SessionWrite& write, Clock::time_point deadline,
                   Done<SessionWritten> done) {
  if (Status status = check_session_write(write); !status.ok())
    return done(std::move(status).error());
  redis::Command tail;
  const bool tells = write.raise && !write.lost_by.empty();
  tail.arg(tells ? 2 : 1).arg(session_name(write.session_id));
  if (tells) tail.arg(lost_name(write.lost_by));
  tail.arg(write.generation)
      .arg(write.version)
      .arg(write.raise ? (write.by_previous ? 2 : 1) : 0)
      .arg(write.owner)
      .arg(write.state)
      .arg(write.ttl_ms)
      .arg(write.session_id)
      .arg(std::chrono::milliseconds(kLostLife).count());
  // To be sent twice changes nothing, as a read does.
  store_.at(write.session_id)
      .eval(put_session_script(), std::move(tail), redis::Effect::kRead, deadline,
            [this, done = std::move(done)](Result<redis::Reply> reply) mutable {
              if (!reply.ok()) return done(std::move(reply).error());
              if (reply->items.size() != 2 || !reply->items[0].is_integer() ||
                  !reply->items[1].is_integer())
                return done(redis::unexpected_reply("EVALSHA"));
              const SessionWritten written{reply->items[0].integer == 1,
                                           static_cast<uint64_t>(reply->items[1].integer)};
              probe_.session_written(written.stored);
              done(written);
            });
}

void Sessions::confirm(const SessionsConfirmed& confirmed, Clock::time_point deadline,
                       Done<uint64_t> done) {
  if (!is_owner(confirmed.owner)) return done(bad("the owner is not one"));
  if (confirmed.sessions.size() > static_cast<size_t>(kMostConfirmed))
    return done(bad("more than 1,000 sessions"));
  std::vector<std::vector<const SessionsConfirmed::One*>> by_primary(store_.primaries().size());
  for (const auto& one : confirmed.sessions) {
    if (Status status = check_session_id(one.session_id); !status.ok())
      return done(std::move(status).error());
    by_primary[store_.pick(one.session_id)].push_back(&one);
  }
  std::erase_if(by_primary, [](const auto& sessions) { return sessions.empty(); });
  if (by_primary.empty()) return done(0);
  auto gathering = std::make_shared<Gathering<uint64_t>>(0, by_primary.size(), std::move(done));
  for (const auto& sessions : by_primary) {
    redis::Command tail;
    tail.arg(sessions.size());
    for (const auto* one : sessions) tail.arg(session_name(one->session_id));
    tail.arg(confirmed.owner);
    for (const auto* one : sessions) tail.arg(one->generation);
    store_.at(sessions.front()->session_id)
        .eval(confirm_sessions_script(), std::move(tail), redis::Effect::kRead, deadline,
              [this, gathering](Result<redis::Reply> reply) mutable {
                std::unique_lock lock(gathering->mutex);
                Result<uint64_t>& answer = gathering->answer;
                if (!reply.ok()) {
                  answer = std::move(reply).error();
                } else if (!reply->is_integer()) {
                  answer = redis::unexpected_reply("EVALSHA");
                } else {
                  const auto count = static_cast<uint64_t>(reply->integer);
                  probe_.sessions_confirmed(count);
                  if (answer.ok()) *answer += count;
                }
                if (--gathering->open > 0) return;
                lock.unlock();
                gathering->done(std::move(answer));
              });
  }
}

void Sessions::end(const SessionEnd& end, Clock::time_point deadline, Done<bool> done) {
  if (Status status = check_session_id(end.session_id); !status.ok())
    return done(std::move(status).error());
  if (!is_owner(end.owner) || end.mark_ms > kMaxTtlMs)
    return done(bad("the owner or mark_ms is out of bounds"));
  redis::Command tail;
  tail.arg(1).arg(session_name(end.session_id)).arg(end.generation).arg(end.owner).arg(end.mark_ms);
  store_.at(end.session_id)
      .eval(end_session_script(), std::move(tail), redis::Effect::kWrite, deadline,
            [this, done = std::move(done)](Result<redis::Reply> reply) mutable {
              if (!reply.ok()) return done(std::move(reply).error());
              if (!reply->is_integer()) return done(redis::unexpected_reply("EVALSHA"));
              if (reply->integer == 1) probe_.session_ended();
              done(reply->integer == 1);
            });
}

void Sessions::lost(const std::string& owner, std::vector<std::string> after,
                    Clock::time_point deadline, Done<LostSessions> done) {
  // In an order that all cache services have, however their configuration names them.
  std::vector<redis::Client*> primaries;
  for (const auto& primary : store_.primaries()) primaries.push_back(primary.get());
  std::sort(primaries.begin(), primaries.end(),
            [](const auto* a, const auto* b) { return a->name() < b->name(); });
  if (!is_owner(owner)) return done(bad("the owner is not one"));
  // Other primaries than the last time: what was told before is told again.
  if (after.size() != primaries.size()) after.assign(primaries.size(), "");
  if (!std::all_of(after.begin(), after.end(), is_position))
    return done(bad("a position is not one"));
  LostSessions none;
  none.after = std::move(after);
  auto gathering =
      std::make_shared<Gathering<LostSessions>>(std::move(none), primaries.size(), std::move(done));
  for (size_t i = 0; i < primaries.size(); ++i) {
    // Only its own completion writes this place.
    const std::string& from = gathering->answer->after[i];
    redis::Command command("XRANGE", lost_name(owner), from.empty() ? "-" : "(" + from, "+",
                           "COUNT");
    command.arg(kMostLost);
    primaries[i]->call(std::move(command), redis::Effect::kRead, deadline,
                       [gathering, i](Result<redis::Reply> reply) mutable {
                         std::unique_lock lock(gathering->mutex);
                         LostSessions& answer = *gathering->answer;
                         if (!reply.ok() || !reply->is_array()) {
                           answer.complete = false;
                         } else {
                           for (const redis::Reply& entry : reply->items)
                             if (!take_lost(entry, answer, answer.after[i]))
                               answer.complete = false;
                           if (reply->items.size() == static_cast<size_t>(kMostLost))
                             answer.more = true;
                         }
                         if (--gathering->open > 0) return;
                         lock.unlock();
                         gathering->done(std::move(answer));
                       });
  }
}

}  // namespace raymesh::cache
