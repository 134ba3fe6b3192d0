#include "libs/host/ops_http.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace raymesh::host {
namespace {

using testing::AllOf;
using testing::EndsWith;
using testing::HasSubstr;
using testing::StartsWith;

class OpsHttpTest : public testing::Test {
 protected:
  std::string ask(const std::string& line, bool draining = false) {
    return answer_ops_request(line + "\r\nHost: x\r\n\r\n",
                              {*registry_, checks_, pages_, draining});
  }
  std::shared_ptr<metrics::Registry> registry_ = metrics::Registry::create();
  std::vector<Check> checks_;
  std::vector<Page> pages_;
};

TEST_F(OpsHttpTest, HealthIsAPlainOk) {
  EXPECT_THAT(ask("GET /healthz HTTP/1.1"),
              AllOf(StartsWith("HTTP/1.1 200 OK\r\n"), HasSubstr("Content-Length: 3\r\n"),
                    HasSubstr("Connection: close\r\n"), EndsWith("\r\n\r\nok\n")));
}

TEST_F(OpsHttpTest, ReadinessListsEveryCheck) {
  checks_ = {{"postgres", [] { return ok_status(); }},
             {"redis", [] { return Status(Error(errors::kUnavailable, "no \"answer\"")); }}};
  EXPECT_THAT(ask("GET /readyz HTTP/1.1"),
              AllOf(StartsWith("HTTP/1.1 503 "), HasSubstr("application/json"),
                    EndsWith(R"({"ready":false,"draining":false,"checks":[)"
                             R"({"name":"postgres","ok":true},)"
                             R"({"name":"redis","ok":false,"message":"no \"answer\""}]})"
                             "\n")));
  checks_.pop_back();
  EXPECT_THAT(ask("GET /readyz HTTP/1.1"), StartsWith("HTTP/1.1 200 "));
}

TEST_F(OpsHttpTest, ADrainingProcessIsNotReadyButHealthy) {
  EXPECT_THAT(ask("GET /readyz HTTP/1.1", true),
              AllOf(StartsWith("HTTP/1.1 503 "), HasSubstr(R"("draining":true)")));
  EXPECT_THAT(ask("GET /healthz HTTP/1.1", true), StartsWith("HTTP/1.1 200 "));
}

TEST_F(OpsHttpTest, MetricsHaveThePrometheusType) {
  EXPECT_THAT(
      ask("GET /metrics?x=1 HTTP/1.0"),
      AllOf(HasSubstr("Content-Type: text/plain; version=0.0.4"), HasSubstr("raymesh_build_info")));
}

TEST_F(OpsHttpTest, AnAppsPagesAreJson) {
  pages_ = {{"/channels", [] { return std::string("[1]"); }}};
  EXPECT_THAT(ask("GET /channels?x HTTP/1.1"),
              AllOf(StartsWith("HTTP/1.1 200 "), HasSubstr("application/json"), EndsWith("[1]\n")));
  EXPECT_THAT(ask("GET /other HTTP/1.1"),
              AllOf(StartsWith("HTTP/1.1 404 "), HasSubstr("/channels")));
}

TEST_F(OpsHttpTest, HeadHasTheLengthWithoutTheBody) {
  EXPECT_THAT(ask("HEAD /healthz HTTP/1.1"),
              AllOf(HasSubstr("Content-Length: 3\r\n"), EndsWith("\r\n\r\n")));
}

TEST_F(OpsHttpTest, OtherPathsMethodsAndNoiseAreRefused) {
  EXPECT_THAT(ask("GET / HTTP/1.1"), StartsWith("HTTP/1.1 404 "));
  EXPECT_THAT(ask("GET /metricsx HTTP/1.1"), StartsWith("HTTP/1.1 404 "));
  EXPECT_THAT(ask("POST /metrics HTTP/1.1"),
              AllOf(StartsWith("HTTP/1.1 405 "), HasSubstr("Allow: GET, HEAD\r\n")));
  for (const char* noise : {"", "GET", "GET /", "GET / SPDY/3", "\x16\x03\x01", " / HTTP/1.1"})
    EXPECT_THAT(ask(noise),
                testing::AnyOf(StartsWith("HTTP/1.1 400 "), StartsWith("HTTP/1.1 405 ")))
        << noise;
  EXPECT_THAT(answer_ops_request("", {*registry_, checks_, pages_}), StartsWith("HTTP/1.1 400 "));
}

}  // namespace
}  // namespace raymesh::host
