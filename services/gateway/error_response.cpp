#include "services/gateway/error_response.hpp"

#include <algorithm>

#include "libs/base/json_writer.hpp"

namespace raymesh::gateway {
namespace {

uint32_t whole_seconds(std::chrono::milliseconds time) {
  return static_cast<uint32_t>(std::clamp<int64_t>((time.count() + 999) / 1000, 1, 3600));
}

}  // namespace

std::string_view public_message(const Error& error) {
  const bool internal = error.is(errors::kInternal) || error.is(errors::kUnavailable);
  return internal || error.message.empty() ? error.kind->meaning : std::string_view(error.message);
}

ErrorResponse append_error(std::string& body, const Error& error) {
  ErrorResponse response;
  response.status = error.http_status();
  if (response.status == 429 || response.status == 503)
    response.retry_after = whole_seconds(error.retry_after);
  json::Object o(body);
  if (error.is(errors::kMigrationFailed) || error.is(errors::kForbiddenStatement))
    o.boolean("success", false);
  o.string("error", public_message(error));
  o.string("code", error.code());
  if (response.status == 429) {
    o.boolean("rate_limit", true);
    o.integer("timeleft", response.retry_after);
  }
  o.end();
  return response;
}

}  // namespace raymesh::gateway
