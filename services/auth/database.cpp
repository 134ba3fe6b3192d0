#include "services/auth/database.hpp"

#include "libs/telemetry/log.hpp"
#include "services/auth/probe.hpp"

namespace raymesh::auth {
namespace {

// While the server is away, callers are answered at once instead of each waiting for a connect.
constexpr std::chrono::milliseconds kPauseAfterFailedConnect{200};
constexpr std::chrono::seconds kStateIsFresh{2};

}  // namespace

Database::Database(caf::actor_system& actors, DatabaseConfig config, Probe& probe)
    : config_(std::move(config)),
      probe_(probe),
      pool_(actors, "auth-database", config_.sessions, config_.max_queued) {}

Status Database::submit(actor::BlockingPool::Work work) {
  Status accepted = pool_.submit(std::move(work));
  if (!accepted.ok()) probe_.database_refused();
  return accepted;
}

Result<pg::Session> Database::take() {
  {
    std::lock_guard lock(mutex_);
    if (!idle_.empty()) {
      pg::Session session = std::move(idle_.back());
      idle_.pop_back();
      return session;
    }
    if (Clock::now() < no_connect_until_) return connect_error_;
  }
  // Nothing waits longer for a dead server than this: neither the connect, nor a statement, nor
  // bytes on their way (tcp_user_timeout, libpq manual 34.1.2).
  const std::string timeout = std::to_string(config_.statement_timeout.count());
  auto session = pg::Session::connect(
      config_.url, {{"connect_timeout", "3"},
                    {"tcp_user_timeout", timeout},
                    {"application_name", "raymesh-auth"},
                    {"options", "-c statement_timeout=" + timeout + " -c lock_timeout=" + timeout +
                                    " -c search_path=raymesh_auth"}});
  if (session.ok()) {
    probe_.database_connected();
    return session;
  }
  report(session.error());
  std::lock_guard lock(mutex_);
  no_connect_until_ = Clock::now() + kPauseAfterFailedConnect;
  connect_error_ = session.error();
  return session;
}

void Database::give_back(pg::Session session) {
  std::lock_guard lock(mutex_);
  idle_.push_back(std::move(session));
}

void Database::drop_idle() {
  std::vector<pg::Session> dead;
  std::lock_guard lock(mutex_);
  dead.swap(idle_);
}

Error Database::lost(const Error& error) {
  Error unavailable(errors::kUnavailable, "PostgreSQL: " + error.message);
  report(unavailable);
  return unavailable;
}

void Database::note(const Error& error) {
  if (error.http_status() >= 500) log::error("a statement failed", {{"error", error.message}});
}

void Database::report(Status status) {
  std::lock_guard lock(mutex_);
  if (state_.ok() && !status.ok())
    log::warn("PostgreSQL is away", {{"error", status.error().message}});
  if (!state_.ok() && status.ok()) log::info("PostgreSQL answers");
  state_ = std::move(status);
  checked_ = Clock::now();
}

Status Database::state() {
  {
    std::lock_guard lock(mutex_);
    if (checking_ || Clock::now() < checked_ + kStateIsFresh) return state_;
    checking_ = true;
  }
  run<Unit>(
      [](pg::Session& session) -> Status {
        return session.query("SELECT 1 FROM raymesh_auth.projects LIMIT 1")
            .status(errors::kUnavailable, "the schema raymesh_auth (has `raymesh migrate` run?)");
      },
      [this](Status status) {
        report(std::move(status));
        std::lock_guard lock(mutex_);
        checking_ = false;
      });
  std::lock_guard lock(mutex_);
  return state_;
}

}  // namespace raymesh::auth
