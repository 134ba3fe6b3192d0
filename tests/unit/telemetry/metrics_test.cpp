#include "libs/telemetry/metrics.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

namespace raymesh::metrics {
namespace {

using testing::HasSubstr;

class MetricsTest : public testing::Test {
 protected:
  std::shared_ptr<Registry> registry_ = Registry::create();
};

TEST_F(MetricsTest, CountersAddWholeAndFractionalNumbers) {
  Counter& counter = registry_->counter("raymesh_test_total", "Help text", {{"kind", "a"}});
  counter.add();
  counter.add(2);
  counter.add(0.5);
  counter.add(-5);
  EXPECT_THAT(registry_->render(), HasSubstr("# HELP raymesh_test_total Help text\n"
                                             "# TYPE raymesh_test_total counter\n"
                                             "raymesh_test_total{kind=\"a\"} 3.5\n"));
}

TEST_F(MetricsTest, NoAddIsLostBetweenThreads) {
  Counter& counter = registry_->counter("raymesh_test_total", "x");
  Histogram& histogram = registry_->histogram("raymesh_test_seconds", "x", {1, 2});
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&] {
      for (int i = 0; i < 10'000; ++i) {
        counter.add();
        histogram.observe(1.5);
      }
    });
  for (std::thread& t : threads) t.join();
  std::string text = registry_->render();
  EXPECT_THAT(text, HasSubstr("raymesh_test_total 40000\n"));
  EXPECT_THAT(text, HasSubstr("raymesh_test_seconds_count 40000\n"));
  EXPECT_THAT(text, HasSubstr("raymesh_test_seconds_sum 60000\n"));
}

TEST_F(MetricsTest, ARegistryBeginsAtZeroAfterAnotherOne) {
  auto other = Registry::create();
  other->counter("raymesh_test_total", "x").add(7);
  other->histogram("raymesh_test_seconds", "x", {1, 2}).observe(1.5);
  other = Registry::create();
  other->counter("raymesh_test_total", "x");
  other->histogram("raymesh_test_seconds", "x", {1, 2});
  EXPECT_THAT(other->render(), HasSubstr("raymesh_test_total 0\n"));
  EXPECT_THAT(other->render(), HasSubstr("raymesh_test_seconds_count 0\n"));
  EXPECT_THAT(other->render(), HasSubstr("raymesh_test_seconds_sum 0\n"));
}

TEST_F(MetricsTest, TheSameNameAndLabelsAreTheSameMetric) {
  EXPECT_EQ(&registry_->gauge("raymesh_test", "x", {{"a", "1"}}),
            &registry_->gauge("raymesh_test", "x", {{"a", "1"}}));
  EXPECT_NE(&registry_->gauge("raymesh_test", "x", {{"a", "1"}}),
            &registry_->gauge("raymesh_test", "x", {{"a", "2"}}));
}

TEST_F(MetricsTest, HistogramBucketsAreCumulativeAndIncludeTheirBound) {
  Histogram& h = registry_->histogram("raymesh_test_seconds", "x", {0.1, 1});
  for (double v : {0.05, 0.1, 0.5, 100.0}) h.observe(v);
  std::string text = registry_->render();
  EXPECT_THAT(text, HasSubstr("raymesh_test_seconds_bucket{le=\"0.1\"} 2\n"));
  EXPECT_THAT(text, HasSubstr("raymesh_test_seconds_bucket{le=\"1\"} 3\n"));
  EXPECT_THAT(text, HasSubstr("raymesh_test_seconds_bucket{le=\"+Inf\"} 4\n"));
}

TEST_F(MetricsTest, AGaugeIsSetAndMoved) {
  Gauge& gauge = registry_->gauge("raymesh_test", "x");
  gauge.add(5);
  gauge.set(2.5);
  EXPECT_THAT(registry_->render(), HasSubstr("raymesh_test 2.5\n"));
  gauge.add(-4);
  EXPECT_THAT(registry_->render(), HasSubstr("raymesh_test -1.5\n"));
}

TEST_F(MetricsTest, FunctionsAreReadAtEveryScrape) {
  double value = 1;
  registry_->gauge_function("raymesh_test", "x", {}, [&] { return value; });
  EXPECT_THAT(registry_->render(), HasSubstr("raymesh_test 1\n"));
  value = 2;
  EXPECT_THAT(registry_->render(), HasSubstr("raymesh_test 2\n"));
}

TEST_F(MetricsTest, LabelValuesAreEscaped) {
  registry_->gauge("raymesh_test", "x", {{"a", "q\"b\\c\nd"}}).set(1);
  EXPECT_THAT(registry_->render(), HasSubstr(R"(raymesh_test{a="q\"b\\c\nd"} 1)"));
}

TEST_F(MetricsTest, EveryProcessReportsItself) {
  EXPECT_EQ(
      registry_->names(),
      (std::vector<std::string>{"process_cpu_seconds_total", "process_max_fds", "process_open_fds",
                                "process_resident_memory_bytes", "process_start_time_seconds",
                                "process_threads", "process_virtual_memory_bytes",
                                "raymesh_build_info", "raymesh_log_dropped_lines_total"}));
  EXPECT_THAT(registry_->render(), HasSubstr("raymesh_build_info{version=\""));
}

TEST_F(MetricsTest, LatencyBucketsRise) {
  auto buckets = latency_buckets();
  EXPECT_EQ(buckets.front(), 0.0001);
  EXPECT_EQ(buckets.back(), 10);
  EXPECT_TRUE(std::is_sorted(buckets.begin(), buckets.end()));
}

using MetricsDeathTest = MetricsTest;

TEST_F(MetricsDeathTest, ANameWithTwoTypesOrAForbiddenOneEndsTheProcess) {
  registry_->counter("raymesh_test", "x");
  EXPECT_DEATH(registry_->gauge("raymesh_test", "x"), "another type");
  EXPECT_DEATH(registry_->counter("not a name", "x"), "not a metric name");
  EXPECT_DEATH(registry_->counter("raymesh_x", "x", {{"a-b", "1"}}), "a-b");
}

}  // namespace
}  // namespace raymesh::metrics
