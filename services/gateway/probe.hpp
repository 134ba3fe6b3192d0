// All metrics of the gateway. Thread-safe; verbs for the logic, so that it knows no registry.
#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "libs/telemetry/metrics.hpp"

namespace raymesh::gateway {

struct Route;

class Probe {
 public:
  explicit Probe(metrics::Registry& registry);

  void connection_opened();
  void connection_closed();
  void request_started();
  /// `route` may be nullptr: no route was found.
  void request_finished(const Route* route, int status, std::chrono::nanoseconds duration,
                        size_t bytes_in, size_t bytes_out);
  void request_malformed();
  void client_timed_out();
  void client_left();
  void rate_limited();
  void key_cache_hit();
  void key_cache_miss();
  void lease_failed();

 private:
  // Status codes get a counter when they first occur.
  static constexpr size_t kStatuses = 600;
  metrics::Counter& requests(size_t route, int status);

  metrics::Registry& registry_;
  std::vector<std::string> names_;
  std::vector<std::unique_ptr<std::atomic<metrics::Counter*>[]>> by_status_;
  std::vector<metrics::Histogram*> seconds_;
  metrics::Gauge& connections_;
  metrics::Counter& connections_total_;
  metrics::Gauge& in_flight_;
  metrics::Counter& bytes_in_;
  metrics::Counter& bytes_out_;
  metrics::Counter& malformed_;
  metrics::Counter& timeouts_;
  metrics::Counter& left_;
  metrics::Counter& rate_limited_;
  metrics::Counter& key_hits_;
  metrics::Counter& key_misses_;
  metrics::Counter& lease_failures_;
};

}  // namespace raymesh::gateway
