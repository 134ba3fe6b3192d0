// The one mapping from an Error to what an HTTP client sees: status, body and Retry-After. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "libs/base/result.hpp"

namespace raymesh::gateway {

/// What a client may read: the message of a defect or of a lost connection names internals, so its
/// row's meaning stands for it; the log has the message.
std::string_view public_message(const Error& error);

struct ErrorResponse {
  int status = 500;
  uint32_t retry_after = 0;  // seconds for the header; 0: none
};

/// Appends {"error","code"} to `body`, for 429 with {"rate_limit":true,"timeleft":<seconds>}, for a
/// failed migration with {"success":false}. What went wrong inside of raymesh is not told.
ErrorResponse append_error(std::string& body, const Error& error);

}  // namespace raymesh::gateway
