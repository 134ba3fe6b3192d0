// The auth service's way to PostgreSQL: a few sessions, each used by one database thread at a time,
// behind one bounded queue. Auth's statements are short and rare (gateways cache what they ask
// most), so blocking sessions are enough here. Owned by the app; `run` and `state` from any thread,
// completions run on a database thread.
#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "libs/actor/blocking_pool.hpp"
#include "libs/base/result.hpp"
#include "libs/base/unique_function.hpp"
#include "libs/pg/session.hpp"

namespace raymesh::auth {

class Probe;

struct DatabaseConfig {
  std::string url;
  size_t sessions = 4;
  size_t max_queued = 1'024;
  std::chrono::milliseconds statement_timeout{5'000};
};

class Database {
 public:
  Database(caf::actor_system& actors, DatabaseConfig config, Probe& probe);

  /// Runs `statements`, which may be run a second time when the connection broke under it: what it
  /// does must be the same when it happened already. `done` gets its result, or overloaded (queue
  /// full), or unavailable (no connection).
  template <class T>
  void run(UniqueFunction<Result<T>(pg::Session&)> statements,
           UniqueFunction<void(Result<T>)> done) {
    // Shared, so that a refused submit can still answer.
    auto call = std::make_shared<Pending<T>>(std::move(statements), std::move(done));
    Status accepted = submit([this, call] { call->done(with_session<T>(call->statements)); });
    if (!accepted.ok()) call->done(std::move(accepted).error());
  }

  /// What the last statement found out. Asks the server anew, in the background, when that was long
  /// ago.
  Status state();

  void stop(std::chrono::milliseconds grace) { pool_.stop(grace); }
  size_t queued() const { return pool_.queued(); }

 private:
  using Clock = std::chrono::steady_clock;

  template <class T>
  struct Pending {
    Pending(UniqueFunction<Result<T>(pg::Session&)> s, UniqueFunction<void(Result<T>)> d)
        : statements(std::move(s)), done(std::move(d)) {}
    UniqueFunction<Result<T>(pg::Session&)> statements;
    UniqueFunction<void(Result<T>)> done;
  };

  template <class T>
  Result<T> with_session(UniqueFunction<Result<T>(pg::Session&)>& statements) {
    for (bool last_try : {false, true}) {
      auto session = take();
      if (!session.ok()) return std::move(session).error();
      Result<T> result = statements(*session);
      if (session->is_connected()) {
        give_back(*std::move(session));
        if (!result.ok()) note(result.error());
        return result;
      }
      // Every idle session of a server that was restarted is as dead as this one.
      drop_idle();
      if (last_try && !result.ok()) return lost(result.error());
      if (result.ok()) return result;
    }
    return Error(errors::kInternal, "unreachable");
  }

  Status submit(actor::BlockingPool::Work work);
  Result<pg::Session> take();
  void give_back(pg::Session session);
  void drop_idle();
  Error lost(const Error& error);
  /// Logs what is a defect, and not the caller's doing.
  static void note(const Error& error);
  void report(Status status);

  const DatabaseConfig config_;
  Probe& probe_;

  std::mutex mutex_;
  // Invariant: at most config_.sessions, because only that many threads hold one.
  std::vector<pg::Session> idle_;
  Status state_ = Error(errors::kUnavailable, "not connected to PostgreSQL yet");
  Clock::time_point checked_{};           // when state_ was found out
  Clock::time_point no_connect_until_{};  // after a failed attempt,
  Error connect_error_;                   // which was this one
  bool checking_ = false;

  // Last: its threads use everything above.
  actor::BlockingPool pool_;
};

}  // namespace raymesh::auth
