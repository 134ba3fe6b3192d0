#include "services/cache/probe.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>

namespace raymesh::cache {
namespace {

TEST(CacheProbeTest, HasTheseMetrics) {
  auto registry = metrics::Registry::create();
  boost::asio::io_context io;
  auto store = redis::Store::open(io, {"localhost:1"}, "", {});
  ASSERT_TRUE(store.ok());
  Probe probe(*registry);
  probe.watch("cache", **store);
  std::vector<std::string> own;
  for (const std::string& name : registry->names())
    if (name.rfind("raymesh_cache_", 0) == 0) own.push_back(name);
  EXPECT_THAT(own, ::testing::ElementsAre(
                       "raymesh_cache_changes_total", "raymesh_cache_leased_tokens_total",
                       "raymesh_cache_leases_total", "raymesh_cache_over_quota_total",
                       "raymesh_cache_reads_total", "raymesh_cache_redis_breaks_total",
                       "raymesh_cache_redis_commands_total", "raymesh_cache_redis_connected",
                       "raymesh_cache_redis_outstanding", "raymesh_cache_redis_refused_total",
                       "raymesh_cache_redis_timeouts_total", "raymesh_cache_sessions_total",
                       "raymesh_cache_usage_measured_total"));
}

}  // namespace
}  // namespace raymesh::cache
