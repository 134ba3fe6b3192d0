#include "services/gateway/error_response.hpp"

#include <gtest/gtest.h>
#include <simdjson.h>

#include "services/gateway/http_response.hpp"

namespace raymesh::gateway {
namespace {

using namespace std::chrono_literals;

TEST(ErrorResponseTest, CarriesMessageAndCode) {
  std::string body;
  const auto r = append_error(body, Error(errors::kUniqueViolation, "key \"x\" exists"));
  EXPECT_EQ(r.status, 409);
  EXPECT_EQ(r.retry_after, 0u);
  EXPECT_EQ(body, R"({"error":"key \"x\" exists","code":"unique_violation"})");
}

TEST(ErrorResponseTest, RateLimitTellsHowLongToWait) {
  std::string body;
  const auto r = append_error(body, Error(errors::kRateLimited, "slow down", 1'001ms));
  EXPECT_EQ(r.retry_after, 2u);
  EXPECT_EQ(body, R"({"error":"slow down","code":"rate_limited","rate_limit":true,"timeleft":2})");
}

TEST(ErrorResponseTest, HidesInternals) {
  for (const ErrorKind& kind : {errors::kInternal, errors::kUnavailable}) {
    std::string body;
    append_error(body, Error(kind, "10.1.2.3:5001 segment 7"));
    EXPECT_EQ(body.find("10.1.2.3"), std::string::npos);
  }
}

TEST(ErrorResponseTest, AFailedMigrationSaysSo) {
  std::string body;
  append_error(body, Error(errors::kMigrationFailed, "syntax error"));
  EXPECT_EQ(body, R"({"success":false,"error":"syntax error","code":"migration_failed"})");
}

TEST(ErrorResponseTest, EveryErrorHasAPhraseAndABodyThatParses) {
  simdjson::dom::parser parser;
  for (const ErrorKind& kind : errors::all()) {
    std::string body;
    const auto r = append_error(body, Error(kind, ""));
    EXPECT_NE(reason_phrase(r.status), "Unknown") << kind.code;
    EXPECT_EQ(parser.parse(body)["code"].get_string().value(), kind.code);
    EXPECT_FALSE(parser.parse(body)["error"].get_string().value().empty()) << kind.code;
  }
}

}  // namespace
}  // namespace raymesh::gateway
