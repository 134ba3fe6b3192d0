// The metrics of calls between processes, the same on both sides:
//   raymesh_rpc_<side>_calls_total{service,method,code}      ended calls; code "ok" or an error's
//   raymesh_rpc_<side>_call_seconds{service,method}          histogram
//   raymesh_rpc_<side>_in_flight{service}
//   raymesh_rpc_<side>_batch_bytes{service}                  histogram, of batches sent
//   raymesh_rpc_<side>_streams{service}                      streams that are up
//   raymesh_rpc_client_reconnects_total{service}             attempts after a stream ended
//   raymesh_rpc_server_refused_total{service,code}           streams and calls refused at the door
// Thread-safe; a call costs one look-up and three additions. Without a registry it does nothing.
#pragma once

#include <chrono>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>

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
  Probe(metrics::Registry* registry, std::string side, std::string service);

  /// Names beyond the first 64 share one entry, so that nobody can fill the memory with names.
  Method& method(std::string_view name);

  void in_flight(size_t calls) {
    if (in_flight_) in_flight_->set(static_cast<double>(calls));
  }
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
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view s) const { return std::hash<std::string_view>{}(s); }
  };

  metrics::Registry* const registry_;
  const std::string prefix_;
  const std::string service_;
  metrics::Gauge* in_flight_ = nullptr;
  metrics::Histogram* batch_bytes_ = nullptr;
  metrics::Gauge* streams_ = nullptr;
  metrics::Counter* reconnects_ = nullptr;
  std::mutex mutex_;
  std::unordered_map<std::string, Method, Hash, std::equal_to<>> methods_;
};

}  // namespace raymesh::rpc
