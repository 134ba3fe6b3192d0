// The metrics of calls between processes, the same on both sides:
//   raymesh_rpc_<side>_calls_total{service,method,code}      ended calls; code "ok" or an error's
//   raymesh_rpc_<side>_call_seconds{service,method}          histogram
//   raymesh_rpc_<side>_in_flight{service}
//   raymesh_rpc_<side>_batch_bytes{service}                  histogram, of batches sent
//   raymesh_rpc_<side>_streams{service}                      streams that are up
//   raymesh_rpc_client_reconnects_total{service}             attempts after a stream ended
//   raymesh_rpc_server_refused_total{service,code}           streams and calls refused at the door
// Thread-safe; a call costs one look-up without a lock and three additions. Without a registry it
// does nothing.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <deque>
#include <mutex>
#include <string>
#include <string_view>

#include "libs/base/result.hpp"
#include "libs/telemetry/metrics.hpp"

namespace raymesh::rpc {

class Probe {
 public:
  /// One method's metrics. Lives as long as the probe.
  class Method {
   public:
    /// `error` null: it went well.
    void ended(const ErrorKind* error, std::chrono::nanoseconds took);

   private:
    friend class Probe;
    Probe* probe_ = nullptr;
    std::string name_;
    metrics::Counter* ok_ = nullptr;
    metrics::Histogram* seconds_ = nullptr;
  };

  /// `side` is "client" or "server". `registry` may be null.
  Probe(metrics::Registry* registry, const std::string& side, std::string service);

  /// Names beyond the first kMaxMethods share one entry, so that nobody can fill the memory with
  /// names.
  static constexpr size_t kMaxMethods = 64;
  Method& method(std::string_view name);

  void in_flight_changed(int by) {
    if (in_flight_) in_flight_->add(by);
  }
  void batch_sent(size_t bytes) {
    if (batch_bytes_) batch_bytes_->observe(static_cast<double>(bytes));
  }
  void stream_up() {
    if (streams_) streams_->add(1);
  }
  void stream_down() {
    if (streams_) streams_->add(-1);
  }
  void reconnect() {
    if (reconnects_) reconnects_->add();
  }
  void refused(const ErrorKind& error);

 private:
  // Nearly four times as many places as there can be methods: an empty one is never far.
  static constexpr size_t kPlaces = 256;

  /// nullptr: there is none; it belongs to `place`.
  Method* find(std::string_view name, size_t& place) const;
  void add_metrics(Method& method);

  metrics::Registry* const registry_;
  const std::string prefix_;
  const std::string service_;
  metrics::Gauge* in_flight_ = nullptr;
  metrics::Histogram* batch_bytes_ = nullptr;
  metrics::Gauge* streams_ = nullptr;
  metrics::Counter* reconnects_ = nullptr;
  // A hash table that only grows, in which a method never moves or changes.
  std::array<std::atomic<Method*>, kPlaces> places_{};
  std::mutex mutex_;  // of who adds a method
  std::deque<Method> methods_;
};

}  // namespace raymesh::rpc
