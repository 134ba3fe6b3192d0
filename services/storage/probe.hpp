// Every metric of the storage service, by name. Made once by the app; thread-safe.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>

#include "libs/base/error_codes.hpp"
#include "libs/pg/connection_pool.hpp"
#include "libs/telemetry/metrics.hpp"
#include "services/storage/query_builder.hpp"
#include "services/storage/table_catalog.hpp"

namespace raymesh::storage {

class Probe final : public pg::PoolEvents, public TableCatalog::Events {
 public:
  explicit Probe(metrics::Registry& registry);

  /// `error` is nullptr for an answer.
  void query_done(Operation operation, const ErrorKind* error, std::chrono::nanoseconds took);
  void query_repeated() { repeated_.add(); }
  void migration_done(bool ok) { (ok ? migrations_ok_ : migrations_failed_).add(); }

  void connection_opened() override {
    connections_opened_.add();
    connections_.add(1);
  }
  void connection_closed() override { connections_.add(-1); }
  void connect_failed() override { connects_failed_.add(); }
  void connection_lost() override { connections_lost_.add(); }
  void session_tainted() override { sessions_tainted_.add(); }
  void session_terminated() override { sessions_terminated_.add(); }
  void request_retried() override { requests_retried_.add(); }
  void request_rescued() override { requests_rescued_.add(); }
  void wait_refused() override { waits_refused_.add(); }

  void table_loaded() override { tables_loaded_.add(); }
  void epochs_polled(bool ok) override { (ok ? polls_ok_ : polls_failed_).add(); }
  void epoch_changed() override { epochs_changed_.add(); }

 private:
  // A refusal is the caller's fault (4xx), a failure ours or a dependency's (5xx).
  struct Outcomes {
    metrics::Counter* ok = nullptr;
    metrics::Counter* refused = nullptr;
    metrics::Counter* failed = nullptr;
  };

  std::array<Outcomes, 6> queries_;  // by Operation
  metrics::Histogram& query_seconds_;
  metrics::Counter& repeated_;
  metrics::Counter& migrations_ok_;
  metrics::Counter& migrations_failed_;
  metrics::Gauge& connections_;
  metrics::Counter& connections_opened_;
  metrics::Counter& connects_failed_;
  metrics::Counter& connections_lost_;
  metrics::Counter& sessions_tainted_;
  metrics::Counter& sessions_terminated_;
  metrics::Counter& requests_retried_;
  metrics::Counter& requests_rescued_;
  metrics::Counter& waits_refused_;
  metrics::Counter& tables_loaded_;
  metrics::Counter& polls_ok_;
  metrics::Counter& polls_failed_;
  metrics::Counter& epochs_changed_;
};

}  // namespace raymesh::storage
