// Metrics in Prometheus' terms. A service's probe asks for its metrics once at start-up and keeps
// the references, so that the hot path is one atomic add. Thread-safe. Names:
// raymesh_<service>_<what>_<unit>.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace raymesh::metrics {

using Labels = std::map<std::string, std::string>;

class Counter {
 public:
  virtual ~Counter() = default;
  virtual void add(double n = 1) = 0;
};

class Gauge {
 public:
  virtual ~Gauge() = default;
  virtual void set(double v) = 0;
  virtual void add(double n) = 0;
};

class Histogram {
 public:
  virtual ~Histogram() = default;
  virtual void observe(double v) = 0;
};

/// 100 us to 10 s, for latencies in seconds.
std::vector<double> latency_buckets();

class Registry {
 public:
  /// With the metrics of the process itself (process_*, raymesh_build_info).
  static std::shared_ptr<Registry> create();
  virtual ~Registry() = default;

  /// The same name and labels give the same metric again. References live as long as the registry.
  /// A name used with two types, or a name or label that Prometheus does not allow, is a defect in
  /// raymesh and ends the process.
  virtual Counter& counter(const std::string& name, const std::string& help,
                           const Labels& = {}) = 0;
  virtual Gauge& gauge(const std::string& name, const std::string& help, const Labels& = {}) = 0;
  virtual Histogram& histogram(const std::string& name, const std::string& help,
                               const std::vector<double>& buckets, const Labels& = {}) = 0;
  /// A gauge read when it is scraped; `read` runs on the ops thread and must be
  /// callable for as long as the ops server runs.
  virtual void gauge_function(const std::string& name, const std::string& help,
                              const Labels& labels, std::function<double()> read) = 0;
  /// The same for a number that only grows.
  virtual void counter_function(const std::string& name, const std::string& help,
                                const Labels& labels, std::function<double()> read) = 0;

  /// Prometheus text exposition format 0.0.4.
  virtual std::string render() = 0;
  /// Sorted, for the golden list.
  virtual std::vector<std::string> names() = 0;
};

}  // namespace raymesh::metrics
