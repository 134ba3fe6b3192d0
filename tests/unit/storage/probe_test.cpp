#include "services/storage/probe.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace raymesh::storage {
namespace {

TEST(StorageProbeTest, HasTheseMetricsAndNoOthers) {
  auto registry = metrics::Registry::create();
  Probe probe(*registry);
  std::vector<std::string> own;
  for (const std::string& name : registry->names())
    if (name.starts_with("raymesh_storage_")) own.push_back(name);
  EXPECT_THAT(
      own,
      testing::ElementsAre(
          "raymesh_storage_connections", "raymesh_storage_connections_lost_total",
          "raymesh_storage_connections_opened_total", "raymesh_storage_connects_failed_total",
          "raymesh_storage_epoch_polls_total", "raymesh_storage_epochs_changed_total",
          "raymesh_storage_migrations_total", "raymesh_storage_queries_repeated_total",
          "raymesh_storage_queries_total", "raymesh_storage_query_seconds",
          "raymesh_storage_requests_rescued_total", "raymesh_storage_requests_retried_total",
          "raymesh_storage_sessions_tainted_total", "raymesh_storage_sessions_terminated_total",
          "raymesh_storage_tables_loaded_total", "raymesh_storage_waits_refused_total"));
}

TEST(StorageProbeTest, TellsRefusalsFromFailures) {
  auto registry = metrics::Registry::create();
  Probe probe(*registry);
  probe.query_done(Operation::kInsert, nullptr, std::chrono::milliseconds(1));
  probe.query_done(Operation::kInsert, &errors::kUniqueViolation, std::chrono::milliseconds(1));
  probe.query_done(Operation::kInsert, &errors::kUnavailable, std::chrono::milliseconds(1));
  const std::string text = registry->render();
  for (const char* outcome : {"ok", "refused", "failed"})
    EXPECT_THAT(text,
                testing::HasSubstr("raymesh_storage_queries_total{operation=\"insert\",outcome=\"" +
                                   std::string(outcome) + "\"} 1"));
}

}  // namespace
}  // namespace raymesh::storage
