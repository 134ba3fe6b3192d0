#include "services/gateway/raystream_error.hpp"

#include <gtest/gtest.h>

#include <map>

#include "libs/base/encoding.hpp"
#include "raymesh/raystream/v1/raystream.pb.h"

namespace raymesh::gateway {
namespace {

namespace v1 = raymesh::raystream::v1;

v1::RpcError sent(const Error& error) {
  v1::RpcError out;
  EXPECT_TRUE(out.ParseFromString(rpc_error(7, error)));
  EXPECT_EQ(out.call_id(), 7u);
  return out;
}

TEST(RaystreamErrorTest, EveryRowOfTheTableHasACode) {
  for (const ErrorKind& kind : errors::all()) {
    const v1::RpcError error = sent(Error(kind, "m"));
    EXPECT_NE(error.error_code(), v1::ERROR_CODE_UNSPECIFIED) << kind.code;
    EXPECT_EQ(error.status(), static_cast<uint32_t>(kind.http_status)) << kind.code;
    EXPECT_EQ(error.code(), kind.code);
    EXPECT_TRUE(error.stack_trace().empty());
  }
}

TEST(RaystreamErrorTest, TheCodesOfThePageStandForTheseRows) {
  const std::map<std::string, v1::ErrorCode> expected = {
      {"invalid_api_key", v1::UNAUTHORIZED},
      {"invalid_token", v1::UNAUTHORIZED},
      {"forbidden_origin", v1::FORBIDDEN},
      {"permission_denied", v1::PERMISSION_DENIED},
      {"not_found", v1::NOT_FOUND},
      {"not_implemented", v1::NOT_FOUND},
      {"invalid_json", v1::INVALID_REQUEST},
      {"body_too_large", v1::INVALID_REQUEST},
      {"unique_violation", v1::CONFLICT},
      {"wrong_type", v1::CONFLICT},
      {"rate_limited", v1::RATE_LIMITED},
      {"overloaded", v1::RATE_LIMITED},
      {"unavailable", v1::SERVICE_UNAVAILABLE},
      {"outcome_unknown", v1::OUTCOME_UNKNOWN},
      {"deadline_exceeded", v1::TIMEOUT},
      {"internal", v1::INTERNAL_ERROR},
      {"serialization_failure", v1::SERVICE_UNAVAILABLE}};
  for (const auto& [code, number] : expected) {
    const ErrorKind* kind = errors::find(code);
    ASSERT_TRUE(kind) << code;
    EXPECT_EQ(sent(Error(*kind, "m")).error_code(), number) << code;
  }
}

TEST(RaystreamErrorTest, TellsNothingOfTheInside) {
  EXPECT_EQ(sent(Error(errors::kInternal, "at 10.0.0.3 in foo.cpp")).error_message(),
            errors::kInternal.meaning);
  EXPECT_EQ(sent(Error(errors::kUnavailable, "no stream to 10.0.0.3")).error_message(),
            errors::kUnavailable.meaning);
  EXPECT_EQ(sent(Error(errors::kNotFound, "no such thing")).error_message(), "no such thing");
}

TEST(RaystreamErrorTest, MessagesAreShortTexts) {
  std::string euros;
  for (int i = 0; i < 1'000; ++i) euros += "\xe2\x82\xac";
  for (std::string message : {euros, "x" + euros, "xx" + euros, std::string("\xff\xfe")}) {
    const v1::RpcError error = sent(Error(errors::kInvalidRequest, message));
    EXPECT_TRUE(is_valid_utf8(error.error_message()));
    EXPECT_LE(error.error_message().size(), 1'024u);
    EXPECT_FALSE(error.error_message().empty());
  }
}

TEST(RaystreamErrorTest, SaysWhenToTryAgain) {
  EXPECT_EQ(
      sent(Error(errors::kRateLimited, "m", std::chrono::milliseconds(1'500))).retry_after_ms(),
      1'500u);
  EXPECT_EQ(sent(Error(errors::kRateLimited, "m")).retry_after_ms(), 0u);
}

}  // namespace
}  // namespace raymesh::gateway
