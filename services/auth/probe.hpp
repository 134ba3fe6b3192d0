// Every metric of the auth service, by name. Made once by the app; thread-safe.
#pragma once

#include <chrono>
#include <functional>

#include "libs/base/result.hpp"
#include "libs/telemetry/metrics.hpp"

namespace raymesh::auth {

class Probe {
 public:
  explicit Probe(metrics::Registry& registry);

  void key_resolved(const Status& outcome) { count(keys_, outcome); }
  void signed_up(const Status& outcome) { count(signups_, outcome); }
  void logged_in(const Status& outcome) { count(logins_, outcome); }
  void token_checked(bool valid) { (valid ? tokens_valid_ : tokens_invalid_).add(); }
  void token_check_failed() { tokens_failed_.add(); }
  void throttled() { throttled_.add(); }
  void hashed(std::chrono::duration<double> took) { hash_seconds_.observe(took.count()); }
  void hashing_refused() { hashing_refused_.add(); }
  void database_connected() { database_connects_.add(); }
  void database_refused() { database_refused_.add(); }
  void sessions_removed(size_t count) { sessions_removed_.add(count); }

  /// Read when they are scraped, also after the app has gone.
  void watch_queues(std::function<double()> hashing, std::function<double()> database);

 private:
  // A refusal is the caller's fault (4xx), a failure ours or a dependency's (5xx).
  struct Outcomes {
    metrics::Counter& ok;
    metrics::Counter& refused;
    metrics::Counter& failed;
  };
  static Outcomes outcomes(metrics::Registry& registry, const std::string& name,
                           const std::string& help);
  static void count(Outcomes& outcomes, const Status& status);

  metrics::Registry& registry_;
  Outcomes keys_;
  Outcomes signups_;
  Outcomes logins_;
  metrics::Counter& tokens_valid_;
  metrics::Counter& tokens_invalid_;
  metrics::Counter& tokens_failed_;
  metrics::Counter& throttled_;
  metrics::Histogram& hash_seconds_;
  metrics::Counter& hashing_refused_;
  metrics::Counter& database_connects_;
  metrics::Counter& database_refused_;
  metrics::Counter& sessions_removed_;
};

}  // namespace raymesh::auth
