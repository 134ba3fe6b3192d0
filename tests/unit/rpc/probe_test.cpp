#include "libs/rpc/probe.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <barrier>
#include <set>
#include <string>
#include <thread>
#include <vector>

namespace raymesh::rpc {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(RpcProbeTest, AMethodKeepsItsMetrics) {
  auto registry = metrics::Registry::create();
  Probe probe(registry.get(), "client", "cache");
  probe.method("Get").ended(nullptr, std::chrono::milliseconds(1));
  probe.method("Put").ended(nullptr, std::chrono::milliseconds(1));
  probe.method("Get").ended(&errors::kNotFound, std::chrono::milliseconds(1));
  const std::string text = registry->render();
  EXPECT_THAT(text, HasSubstr(R"(calls_total{code="not_found",method="Get",service="cache"} 1)"));
  EXPECT_THAT(text, HasSubstr(R"(calls_total{code="ok",method="Get",service="cache"} 1)"));
  EXPECT_THAT(text, HasSubstr(R"(calls_total{code="ok",method="Put",service="cache"} 1)"));
  EXPECT_THAT(text, HasSubstr(R"(call_seconds_count{method="Get",service="cache"} 2)"));
}

TEST(RpcProbeTest, NamesBeyondTheFirstShareOneEntry) {
  auto registry = metrics::Registry::create();
  Probe probe(registry.get(), "server", "cache");
  std::set<Probe::Method*> methods;
  for (size_t i = 0; i < Probe::kMaxMethods; ++i) methods.insert(&probe.method(std::to_string(i)));
  EXPECT_EQ(methods.size(), Probe::kMaxMethods);
  Probe::Method& other = probe.method("one more");
  EXPECT_FALSE(methods.contains(&other));
  for (size_t i = 0; i < 1'000; ++i) EXPECT_EQ(&probe.method("x" + std::to_string(i)), &other);
  for (size_t i = 0; i < Probe::kMaxMethods; ++i)
    EXPECT_TRUE(methods.contains(&probe.method(std::to_string(i))));
  other.ended(nullptr, std::chrono::milliseconds(1));
  EXPECT_THAT(registry->render(), HasSubstr(R"(method="other")"));
  EXPECT_THAT(registry->render(), Not(HasSubstr("one more")));
}

TEST(RpcProbeTest, ThreadsThatMeetANewNameTogetherGetOneEntry) {
  constexpr size_t kThreads = 4;
  constexpr size_t kNames = 40;
  Probe probe(nullptr, "server", "cache");
  std::vector<std::vector<Probe::Method*>> seen(kThreads);
  std::barrier start(kThreads);
  std::vector<std::thread> threads;
  for (auto& mine : seen)
    threads.emplace_back([&] {
      for (size_t i = 0; i < kNames; ++i) {
        start.arrive_and_wait();
        mine.push_back(&probe.method(std::to_string(i)));
      }
    });
  for (std::thread& t : threads) t.join();
  for (const auto& mine : seen) EXPECT_EQ(mine, seen[0]);
  EXPECT_EQ(std::set(seen[0].begin(), seen[0].end()).size(), kNames);
}

}  // namespace
}  // namespace raymesh::rpc
