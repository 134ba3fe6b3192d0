#include "clients/cpp/src/failures.hpp"

#include <algorithm>
#include <cctype>
#include <utility>

namespace raymesh::client {
namespace {

// The page, "Retrying": 400 to 499 never, but for RATE_LIMITED.
bool is_retryable(ErrorCode code, int status) {
  if (code == ErrorCode::kRateLimited) return true;
  if (status >= 400 && status <= 499) return false;
  return code == ErrorCode::kServiceUnavailable || code == ErrorCode::kTimeout ||
         code == ErrorCode::kSessionExpired;
}

ErrorCode known(int number) {
  return number >= 0 && number <= static_cast<int>(ErrorCode::kInvalidNonce)
             ? static_cast<ErrorCode>(number)
             : ErrorCode::kInternalError;
}

}  // namespace

// Programs that use the client see none of the libraries' headers, so it has its own list.
static_assert(static_cast<int>(ErrorCode::kInvalidNonce) ==
              static_cast<int>(raystream::ErrorCode::kInvalidNonce));

std::string_view name_of(ErrorCode code) {
  if (code == ErrorCode::kNone) return "NONE";
  return raystream::name_of(static_cast<raystream::ErrorCode>(code));
}

Error::Error(ErrorCode error_code, int status, std::string code, const std::string& message,
             std::chrono::milliseconds retry_after)
    : Error(error_code, status, std::move(code), message, retry_after,
            is_retryable(error_code, status)) {}

Error::Error(ErrorCode error_code, int status, std::string code, const std::string& message,
             std::chrono::milliseconds retry_after, bool retryable)
    : std::runtime_error(message),
      error_code_(error_code),
      retryable_(retryable),
      status_(status),
      code_(std::move(code)),
      retry_after_(retry_after) {}

Error network_error(const std::string& message) {
  return {ErrorCode::kServiceUnavailable, 0, "network_error", message};
}

Error outcome_unknown(const std::string& method) {
  return {ErrorCode::kOutcomeUnknown, 503, "outcome_unknown",
          "the connection broke after \"" + method +
              "\" was sent: it may or may not have happened. Give it an idempotency key to have it "
              "repeated safely"};
}

Error timed_out(const std::string& method, std::chrono::milliseconds after) {
  const std::string ms = std::to_string(after.count());
  return {ErrorCode::kTimeout,
          408,
          "timeout",
          '"' + method + "\" was not answered within " + ms + " ms",
          {},
          true};
}

Error unreachable(std::chrono::milliseconds after, const Error& last) {
  const std::string ms = std::to_string(after.count());
  return {last.error_code(),
          last.status(),
          last.code(),
          "there was no connection to the gateway within " + ms +
              " ms; the last attempt: " + last.what(),
          {},
          true};
}

Error distrust(std::string_view message) {
  return {ErrorCode::kUnauthorized, 0, "server_not_trusted", std::string(message)};
}

Error client_closed() {
  return {ErrorCode::kSessionExpired, 0, "closed", "the client was closed", {}, false};
}

Error cancelled() {
  return {ErrorCode::kNone, 0, "cancelled", "the call was cancelled"};
}

Error invalid_option(const std::string& message) {
  return {ErrorCode::kInvalidRequest, 0, "invalid_option", message};
}

Error from_rpc_error(const raystream::v1::RpcError& error) {
  return {known(error.error_code()), static_cast<int>(error.status()), error.code(),
          error.error_message().empty() ? "the call failed" : error.error_message(),
          std::chrono::milliseconds(error.retry_after_ms())};
}

Error from_close(const raystream::CloseReason& close, bool encrypted) {
  const ErrorCode code = known(static_cast<int>(close.code));
  std::string lower(name_of(code));
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  const bool refused = code == ErrorCode::kUnauthorized || code == ErrorCode::kForbidden;
  const int status = code == ErrorCode::kUnauthorized  ? 401
                     : code == ErrorCode::kForbidden   ? 403
                     : code == ErrorCode::kRateLimited ? 429
                                                       : 0;
  std::string message = "the gateway ended the connection: " + std::string(name_of(code));
  if (!close.reason.empty()) message += ", " + close.reason;
  return {code, status, lower, message, {}, !encrypted || !refused};
}

}  // namespace raymesh::client
