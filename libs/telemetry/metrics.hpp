// Metrics in Prometheus' terms. A service's probe asks for its metrics once at start-up and keeps
// the references, so that the hot path is a plain addition in a cell of the thread's own (Cells).
// Thread-safe. Names: raymesh_<service>_<what>_<unit>.
#pragma once

#include <atomic>
#include <concepts>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "libs/telemetry/cells.hpp"

namespace raymesh::metrics {

using Labels = std::map<std::string, std::string>;

/// Only grows.
class Counter {
 public:
  void add() { cells_.add(0, 1); }
  template <std::integral N>
  void add(N n) {
    if (n > 0) cells_.add(0, static_cast<uint64_t>(n));
  }
  void add(double n);
  double value() const;

 private:
  Cells cells_{1};
  std::atomic<double> fraction_{0};  // of what was added that is not a whole number
};

/// Exact as long as it counts whole numbers.
class Gauge {
 public:
  void add(double n) { n < 0 ? cells_.add_real(kDown, -n) : cells_.add_real(kUp, n); }
  void set(double v);
  double value() const;

 private:
  static constexpr size_t kUp = 0;
  static constexpr size_t kDown = 1;

  double added() const;

  Cells cells_{2};
  std::atomic<double> base_{0};  // what set() has made of it
};

class Histogram {
 public:
  static constexpr size_t kMaxBounds = Cells::kMaxRun - 2;

  /// Upper bounds, rising; at most kMaxBounds.
  explicit Histogram(std::vector<double> bounds);
  void observe(double v);

  const std::vector<double>& bounds() const { return bounds_; }
  /// Of the bucket below bounds()[i], or above all of them.
  uint64_t count(size_t i) const { return cells_.sum(i); }
  double sum() const { return cells_.sum_real(bounds_.size() + 1); }

 private:
  const std::vector<double> bounds_;
  Cells cells_;  // the buckets, and the sum
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
