// The table of every failure that a client of raymesh can see: its stable code, the gRPC status
// that carries it between processes and the HTTP status that the gateway answers. docs/errors.md
// shows the same table, and a test compares the two. A new failure starts with a line here.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace raymesh {

/// The values are gRPC's (https://grpc.github.io/grpc/core/md_doc_statuscodes.html).
enum class StatusCode : uint8_t {
  kOk = 0,
  kCancelled = 1,
  kUnknown = 2,
  kInvalidArgument = 3,
  kDeadlineExceeded = 4,
  kNotFound = 5,
  kAlreadyExists = 6,
  kPermissionDenied = 7,
  kResourceExhausted = 8,
  kFailedPrecondition = 9,
  kAborted = 10,
  kOutOfRange = 11,
  kUnimplemented = 12,
  kInternal = 13,
  kUnavailable = 14,
  kDataLoss = 15,
  kUnauthenticated = 16,
};

struct ErrorKind {
  std::string_view code;
  StatusCode status;
  int http_status;
  std::string_view meaning;
};

namespace errors {

// X(constant, code, gRPC status, HTTP status, meaning)
#define RAYMESH_ERRORS(X)                                                                          \
  /* Transport */                                                                                  \
  X(kMissingApiKey, "missing_api_key", Unauthenticated, 401, "No API key was sent")                \
  X(kInvalidApiKey, "invalid_api_key", Unauthenticated, 401, "The API key is unknown or revoked")  \
  X(kUnknownEndpoint, "unknown_endpoint", NotFound, 404, "No such path below /api/v1/")            \
  X(kNotFound, "not_found", NotFound, 404, "The thing that was asked for does not exist")          \
  X(kMethodNotAllowed, "method_not_allowed", Unimplemented, 405, "The path has other methods")     \
  X(kInvalidJson, "invalid_json", InvalidArgument, 400, "The body is not well-formed JSON")        \
  X(kInvalidRequest, "invalid_request", InvalidArgument, 400,                                      \
    "A field is missing or has a bad value")                                                       \
  X(kMalformedHttp, "malformed_http", InvalidArgument, 400, "The request is not valid HTTP/1.1")   \
  X(kBodyTooLarge, "body_too_large", OutOfRange, 413, "The body is above the limit")               \
  X(kHeadersTooLarge, "headers_too_large", OutOfRange, 431,                                        \
    "The header section is above the limit")                                                       \
  X(kRequestTimeout, "request_timeout", DeadlineExceeded, 408,                                     \
    "The client sent its request too slowly")                                                      \
  X(kForbiddenOrigin, "forbidden_origin", PermissionDenied, 403,                                   \
    "The well-known development key was used from an Origin or Host that is not loopback")         \
  X(kRateLimited, "rate_limited", ResourceExhausted, 429, "Over the rate limit; see Retry-After")  \
  X(kIdempotencyConflict, "idempotency_conflict", AlreadyExists, 409,                              \
    "The idempotency key was used for another request")                                            \
  X(kIdempotencyUnsupported, "idempotency_unsupported", InvalidArgument, 400,                      \
    "This method keeps no idempotency keys")                                                       \
  X(kNotImplemented, "not_implemented", Unimplemented, 501, "This endpoint does not exist yet")    \
  /* Between processes */                                                                          \
  X(kUnavailable, "unavailable", Unavailable, 503, "A dependency is down or being restarted")      \
  X(kOverloaded, "overloaded", ResourceExhausted, 503, "A queue is full; try again")               \
  X(kOutcomeUnknown, "outcome_unknown", Unavailable, 503,                                          \
    "The connection broke after a write was sent: it may or may not have happened")                \
  X(kDeadlineExceeded, "deadline_exceeded", DeadlineExceeded, 504,                                 \
    "The call took longer than its deadline")                                                      \
  X(kCancelled, "cancelled", Cancelled, 499, "The caller went away")                               \
  X(kInternal, "internal", Internal, 500, "A defect in raymesh; the log has the details")          \
  X(kUnauthenticated, "unauthenticated", Unauthenticated, 401,                                     \
    "The caller did not prove who it is")                                                          \
  X(kPermissionDenied, "permission_denied", PermissionDenied, 403, "The caller may not do this")   \
  X(kUntrustedContext, "untrusted_context", PermissionDenied, 403,                                 \
    "A CallContext came from a caller that is not the gateway")                                    \
  X(kWrongProject, "wrong_project", PermissionDenied, 403,                                         \
    "The service token belongs to another project")                                                \
  X(kUnknownMethod, "unknown_method", Unimplemented, 501, "The service has no such method")        \
  X(kMessageTooLarge, "message_too_large", OutOfRange, 413,                                        \
    "A message between processes is above its limit")                                              \
  /* Auth */                                                                                       \
  X(kInvalidCredentials, "InvalidCredentials", Unauthenticated, 401, "Email or password is wrong") \
  X(kEmailExists, "EmailExists", AlreadyExists, 409, "The email address has an account already")   \
  X(kEmailNotVerified, "EmailNotVerified", PermissionDenied, 403,                                  \
    "The email address is not verified yet")                                                       \
  X(kInvalidEmail, "invalid_email", InvalidArgument, 400, "The email address is not one")          \
  X(kWeakPassword, "weak_password", InvalidArgument, 400, "The password is too short or too long") \
  X(kRoleNotAllowed, "role_not_allowed", InvalidArgument, 400,                                     \
    "The role cannot be chosen at signup")                                                         \
  X(kUnknownAuthEndpoint, "unknown_auth_endpoint", NotFound, 404,                                  \
    "No such path below /api/v1/auth/")                                                            \
  X(kHashingBusy, "hashing_busy", ResourceExhausted, 429,                                          \
    "Too many passwords are being checked at once")                                                \
  X(kInvalidToken, "invalid_token", Unauthenticated, 401,                                          \
    "The token is malformed, expired or revoked")                                                  \
  /* Database */                                                                                   \
  X(kInvalidOperation, "invalid_operation", InvalidArgument, 400,                                  \
    "The operation is not one of those defined")                                                   \
  X(kInvalidIdentifier, "invalid_identifier", InvalidArgument, 400,                                \
    "A table or column name is not acceptable")                                                    \
  X(kUnsupportedOperator, "unsupported_operator", InvalidArgument, 400,                            \
    "The where clause uses an unknown operator")                                                   \
  X(kInvalidFilter, "invalid_filter", InvalidArgument, 400, "The where clause is malformed")       \
  X(kConditionRequired, "condition_required", InvalidArgument, 400,                                \
    "update and delete need a condition")                                                          \
  X(kInvalidValue, "invalid_value", InvalidArgument, 400,                                          \
    "A value does not fit its column's type")                                                      \
  X(kUnknownTable, "unknown_table", InvalidArgument, 400, "The table does not exist")              \
  X(kUnknownColumn, "unknown_column", InvalidArgument, 400, "The column does not exist")           \
  X(kUniqueViolation, "unique_violation", AlreadyExists, 409,                                      \
    "A row with this key exists already")                                                          \
  X(kForeignKeyViolation, "foreign_key_violation", AlreadyExists, 409,                             \
    "A referenced row is missing or still referenced")                                             \
  X(kNotNullViolation, "not_null_violation", InvalidArgument, 400,                                 \
    "A column that must have a value has none")                                                    \
  X(kCheckViolation, "check_violation", InvalidArgument, 400,                                      \
    "A check constraint refused the row")                                                          \
  X(kDatabaseError, "database_error", InvalidArgument, 400, "PostgreSQL refused the statement")    \
  X(kDatabasePermission, "database_permission", PermissionDenied, 403,                             \
    "The project's role may not do this")                                                          \
  X(kStatementTimeout, "statement_timeout", DeadlineExceeded, 504,                                 \
    "The statement ran into its time limit")                                                       \
  X(kSerializationFailure, "serialization_failure", Aborted, 503,                                  \
    "A concurrent change got in the way; try again")                                               \
  X(kSqlRequired, "sql_required", InvalidArgument, 400, "The migration has no sql")                \
  X(kForbiddenStatement, "forbidden_statement", InvalidArgument, 400,                              \
    "A migration may not contain this statement")                                                  \
  X(kMigrationFailed, "migration_failed", InvalidArgument, 400,                                    \
    "PostgreSQL refused a statement of the migration")                                             \
  X(kResultTooLarge, "result_too_large", OutOfRange, 400,                                          \
    "The result is above the limit; ask for fewer rows")                                           \
  /* Cache */                                                                                      \
  X(kWrongType, "wrong_type", FailedPrecondition, 409, "The key holds another type of value")      \
  X(kValueTooLarge, "value_too_large", OutOfRange, 413, "The value is above the limit")            \
  X(kQuotaExceeded, "quota_exceeded", ResourceExhausted, 507,                                      \
    "The project's cache quota is used up")                                                        \
  /* Realtime */                                                                                   \
  X(kInvalidChannel, "invalid_channel", InvalidArgument, 400,                                      \
    "The channel name is not acceptable")                                                          \
  X(kTooManyChannels, "too_many_channels", InvalidArgument, 400,                                   \
    "More channels than one token may have")                                                       \
  X(kTokenExpired, "token_expired", Unauthenticated, 401, "The realtime token has expired")        \
  X(kTokenRevoked, "token_revoked", Unauthenticated, 401, "The realtime token was revoked")        \
  X(kTooManyConnections, "too_many_connections", ResourceExhausted, 429,                           \
    "The identity or project has as many connections as it may have")                              \
  X(kTooManySubscriptions, "too_many_subscriptions", ResourceExhausted, 429,                       \
    "The connection is subscribed to as many channels as it may be")                               \
  X(kAlreadySubscribed, "already_subscribed", AlreadyExists, 409,                                  \
    "The connection is subscribed to this channel already")                                        \
  X(kNotSubscribed, "not_subscribed", FailedPrecondition, 409,                                     \
    "The connection is not subscribed to this channel")

#define RAYMESH_DEFINE_ERROR(name, code, status, http, meaning) \
  inline constexpr ErrorKind name{code, StatusCode::k##status, http, meaning};
RAYMESH_ERRORS(RAYMESH_DEFINE_ERROR)
#undef RAYMESH_DEFINE_ERROR

/// All rows of the table, in the order above.
std::span<const ErrorKind> all();

/// The row with this code, or nullptr.
const ErrorKind* find(std::string_view code);

}  // namespace errors
}  // namespace raymesh
