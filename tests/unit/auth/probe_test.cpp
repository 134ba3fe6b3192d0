#include "services/auth/probe.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace raymesh::auth {
namespace {

TEST(ProbeTest, HasTheseMetricsAndNoOthers) {
  auto registry = metrics::Registry::create();
  Probe probe(*registry);
  probe.watch_queues([] { return 0.0; }, [] { return 0.0; });
  std::vector<std::string> names;
  for (const std::string& name : registry->names())
    if (name.starts_with("raymesh_auth_")) names.push_back(name);
  EXPECT_THAT(names, testing::ElementsAre(
                         "raymesh_auth_database_connects_total", "raymesh_auth_database_queue",
                         "raymesh_auth_database_refused_total", "raymesh_auth_hash_seconds",
                         "raymesh_auth_hashing_queue", "raymesh_auth_hashing_refused_total",
                         "raymesh_auth_key_lookups_total", "raymesh_auth_logins_total",
                         "raymesh_auth_sessions_removed_total", "raymesh_auth_signups_total",
                         "raymesh_auth_throttled_total", "raymesh_auth_token_checks_total"));
}

TEST(ProbeTest, TellsRefusalsFromFailures) {
  auto registry = metrics::Registry::create();
  Probe probe(*registry);
  probe.logged_in(ok_status());
  probe.logged_in(Error(errors::kInvalidCredentials, ""));
  probe.logged_in(Error(errors::kUnavailable, ""));
  const std::string text = registry->render();
  for (const char* result : {"ok", "refused", "failed"})
    EXPECT_THAT(text, testing::HasSubstr("raymesh_auth_logins_total{result=\"" +
                                         std::string(result) + "\"} 1"));
}

}  // namespace
}  // namespace raymesh::auth
