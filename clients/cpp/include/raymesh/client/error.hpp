// What goes wrong with a raymesh client, in one type. Values; any thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>

namespace raymesh::client {

/// The codes of the protocol (docs/protocols/raystream.md, "Error codes"), by their numbers.
enum class ErrorCode : uint8_t {
  kNone = 0,
  kUnauthorized = 1,
  kForbidden = 2,
  kNotFound = 3,
  kInvalidRequest = 4,
  kPermissionDenied = 5,
  kConflict = 6,
  kRateLimited = 7,
  kInternalError = 8,
  kServiceUnavailable = 9,
  kTimeout = 10,
  kOutcomeUnknown = 11,
  kSessionExpired = 12,
  kDecryptionFailed = 13,
  kInvalidNonce = 14,
};
/// "NOT_FOUND".
std::string_view name_of(ErrorCode code);

/// Every failure of a call, a subscription or the session. `what()` is a sentence for people.
class Error : public std::runtime_error {
 public:
  /// With the rule of the protocol page, "Retrying", for whether it may succeed later.
  Error(ErrorCode error_code, int status, std::string code, const std::string& message,
        std::chrono::milliseconds retry_after = {});
  Error(ErrorCode error_code, int status, std::string code, const std::string& message,
        std::chrono::milliseconds retry_after, bool retryable);

  ErrorCode error_code() const { return error_code_; }
  /// As over HTTP; 0: no answer came.
  int status() const { return status_; }
  /// The precise one: of docs/errors.md, or this client's own: `network_error`, `timeout`,
  /// `cancelled`, `outcome_unknown`, `closed`, `slow_consumer`, `server_not_trusted`,
  /// `server_keys_needed`, `server_keys_unknown`, `invalid_option`, `invalid_result`, `internal`.
  const std::string& code() const { return code_; }
  /// After which to try again; zero: unknown.
  std::chrono::milliseconds retry_after() const { return retry_after_; }
  /// Whether the same call may succeed later. It says nothing about whether it may be sent twice.
  bool retryable() const { return retryable_; }

 private:
  ErrorCode error_code_;
  bool retryable_;
  int status_;
  std::string code_;
  std::chrono::milliseconds retry_after_;
};

}  // namespace raymesh::client
