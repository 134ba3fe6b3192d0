// Every metric of the cache service, by name. Made once by the app; thread-safe.
#pragma once

#include <functional>
#include <string>

#include "libs/redis/store.hpp"
#include "libs/telemetry/metrics.hpp"

namespace raymesh::cache {

class Probe {
 public:
  explicit Probe(metrics::Registry& registry);

  void read(bool found) { (found ? hits_ : misses_).add(); }
  void changed() { changes_.add(); }
  void over_quota() { over_quota_.add(); }
  void leased(double tokens) {
    leases_.add();
    tokens_.add(tokens);
  }
  void lease_empty() { leases_empty_.add(); }
  void usage_measured() { measured_.add(); }
  void session_read(bool found) { (found ? sessions_found_ : sessions_missed_).add(); }
  void session_written(bool stored) { (stored ? sessions_stored_ : sessions_refused_).add(); }
  void sessions_confirmed(uint64_t count) { sessions_confirmed_.add(static_cast<double>(count)); }
  void session_ended() { sessions_ended_.add(); }

  /// Connections, queues and failures of a store's primaries, read when they are scraped. The store
  /// outlives the registry's last scrape.
  void watch(const std::string& store, const redis::Store& primaries);

 private:
  metrics::Registry& registry_;
  metrics::Counter& hits_;
  metrics::Counter& misses_;
  metrics::Counter& changes_;
  metrics::Counter& over_quota_;
  metrics::Counter& leases_;
  metrics::Counter& leases_empty_;
  metrics::Counter& tokens_;
  metrics::Counter& measured_;
  metrics::Counter& sessions_found_;
  metrics::Counter& sessions_missed_;
  metrics::Counter& sessions_stored_;
  metrics::Counter& sessions_refused_;
  metrics::Counter& sessions_confirmed_;
  metrics::Counter& sessions_ended_;
};

}  // namespace raymesh::cache
