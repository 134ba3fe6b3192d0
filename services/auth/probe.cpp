#include "services/auth/probe.hpp"

namespace raymesh::auth {
namespace {

metrics::Counter& token_counter(metrics::Registry& registry, const std::string& result) {
  return registry.counter("raymesh_auth_token_checks_total", "Access tokens checked",
                          {{"result", result}});
}

}  // namespace

Probe::Probe(metrics::Registry& r)
    : registry_(r),
      keys_(outcomes(r, "raymesh_auth_key_lookups_total", "API keys looked up")),
      signups_(outcomes(r, "raymesh_auth_signups_total", "Signups")),
      logins_(outcomes(r, "raymesh_auth_logins_total", "Logins")),
      tokens_valid_(token_counter(r, "valid")),
      tokens_invalid_(token_counter(r, "invalid")),
      tokens_failed_(token_counter(r, "failed")),
      throttled_(r.counter("raymesh_auth_throttled_total",
                           "Logins and signups refused after too many failures")),
      hash_seconds_(r.histogram("raymesh_auth_hash_seconds", "Time to hash or check one password",
                                metrics::latency_buckets())),
      hashing_refused_(r.counter("raymesh_auth_hashing_refused_total",
                                 "Passwords not hashed because the queue was full")),
      database_connects_(
          r.counter("raymesh_auth_database_connects_total", "Sessions opened with PostgreSQL")),
      database_refused_(r.counter("raymesh_auth_database_refused_total",
                                  "Statements refused because the queue was full")),
      sessions_removed_(
          r.counter("raymesh_auth_sessions_removed_total", "Expired sessions deleted")) {}

void Probe::watch_queues(std::function<double()> hashing, std::function<double()> database) {
  registry_.gauge_function("raymesh_auth_hashing_queue", "Passwords waiting to be hashed", {},
                           std::move(hashing));
  registry_.gauge_function("raymesh_auth_database_queue", "Statements waiting for a session", {},
                           std::move(database));
}

Probe::Outcomes Probe::outcomes(metrics::Registry& registry, const std::string& name,
                                const std::string& help) {
  auto counter = [&](const char* result) -> metrics::Counter& {
    return registry.counter(name, help, {{"result", result}});
  };
  return {counter("ok"), counter("refused"), counter("failed")};
}

void Probe::count(Outcomes& outcomes, const Status& status) {
  if (status.ok())
    outcomes.ok.add();
  else if (status.error().http_status() < 500)
    outcomes.refused.add();
  else
    outcomes.failed.add();
}

}  // namespace raymesh::auth
