#include "services/storage/probe.hpp"

namespace raymesh::storage {
namespace {

constexpr const char* kOperationNames[] = {"find",   "findFirst", "insert",
                                           "update", "delete",    "count"};

}  // namespace

Probe::Probe(metrics::Registry& r)
    : query_seconds_(r.histogram("raymesh_storage_query_seconds",
                                 "From a query's arrival to its answer",
                                 metrics::latency_buckets())),
      repeated_(r.counter("raymesh_storage_queries_repeated_total",
                          "Queries run again after their table was read anew")),
      migrations_ok_(
          r.counter("raymesh_storage_migrations_total", "Migrations", {{"outcome", "ok"}})),
      migrations_failed_(
          r.counter("raymesh_storage_migrations_total", "Migrations", {{"outcome", "failed"}})),
      connections_(r.gauge("raymesh_storage_connections", "Open connections with PostgreSQL")),
      connections_opened_(
          r.counter("raymesh_storage_connections_opened_total", "Connections made")),
      connects_failed_(
          r.counter("raymesh_storage_connects_failed_total", "Attempts to connect that failed")),
      connections_lost_(
          r.counter("raymesh_storage_connections_lost_total", "Connections that broke")),
      sessions_tainted_(r.counter("raymesh_storage_sessions_tainted_total",
                                  "Sessions given up because their settings were changed")),
      sessions_terminated_(r.counter("raymesh_storage_sessions_terminated_total",
                                     "Sessions ended because a statement outlived its limit")),
      requests_retried_(r.counter("raymesh_storage_requests_retried_total",
                                  "Statements sent again on another connection")),
      requests_rescued_(r.counter("raymesh_storage_requests_rescued_total",
                                  "Reads taken from behind a slow statement")),
      waits_refused_(r.counter("raymesh_storage_waits_refused_total",
                               "Statements that got no connection in time")),
      tables_loaded_(
          r.counter("raymesh_storage_tables_loaded_total", "Tables read from the catalog")),
      polls_ok_(r.counter("raymesh_storage_epoch_polls_total", "Readings of the schema epochs",
                          {{"outcome", "ok"}})),
      polls_failed_(r.counter("raymesh_storage_epoch_polls_total", "Readings of the schema epochs",
                              {{"outcome", "failed"}})),
      epochs_changed_(r.counter("raymesh_storage_epochs_changed_total",
                                "Projects whose schema was changed elsewhere")) {
  for (size_t i = 0; i < queries_.size(); ++i) {
    auto counter = [&](const char* outcome) {
      return &r.counter("raymesh_storage_queries_total", "Queries by operation and outcome",
                        {{"operation", kOperationNames[i]}, {"outcome", outcome}});
    };
    queries_[i] = {counter("ok"), counter("refused"), counter("failed")};
  }
}

void Probe::query_done(Operation operation, const ErrorKind* error, std::chrono::nanoseconds took) {
  const Outcomes& outcomes = queries_[static_cast<size_t>(operation)];
  (error == nullptr           ? outcomes.ok
   : error->http_status < 500 ? outcomes.refused
                              : outcomes.failed)
      ->add();
  query_seconds_.observe(std::chrono::duration<double>(took).count());
}

}  // namespace raymesh::storage
