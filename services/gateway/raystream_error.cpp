#include "services/gateway/raystream_error.hpp"

#include <algorithm>

#include "libs/base/encoding.hpp"
#include "raymesh/raystream/v1/raystream.pb.h"
#include "services/gateway/error_response.hpp"

namespace raymesh::gateway {
namespace {

using raystream::ErrorCode;

// What fits a frame of any phase.
constexpr size_t kMaxMessage = 1'024;

}  // namespace

ErrorCode raystream_code(const Error& error) {
  if (error.is(errors::kForbiddenOrigin)) return ErrorCode::kForbidden;
  if (error.is(errors::kOutcomeUnknown)) return ErrorCode::kOutcomeUnknown;
  switch (error.status()) {
    case StatusCode::kUnauthenticated:
      return ErrorCode::kUnauthorized;
    case StatusCode::kPermissionDenied:
      return ErrorCode::kPermissionDenied;
    case StatusCode::kNotFound:
    case StatusCode::kUnimplemented:
      return ErrorCode::kNotFound;
    case StatusCode::kInvalidArgument:
    case StatusCode::kOutOfRange:
      return ErrorCode::kInvalidRequest;
    case StatusCode::kAlreadyExists:
    case StatusCode::kFailedPrecondition:
      return ErrorCode::kConflict;
    case StatusCode::kResourceExhausted:
      return ErrorCode::kRateLimited;
    case StatusCode::kAborted:
    case StatusCode::kUnavailable:
    case StatusCode::kCancelled:
      return ErrorCode::kServiceUnavailable;
    case StatusCode::kDeadlineExceeded:
      return ErrorCode::kTimeout;
    case StatusCode::kOk:
    case StatusCode::kUnknown:
    case StatusCode::kInternal:
    case StatusCode::kDataLoss:
      return ErrorCode::kInternalError;
  }
  return ErrorCode::kInternalError;
}

std::string rpc_error(uint64_t call_id, const Error& error) {
  raymesh::raystream::v1::RpcError out;
  out.set_call_id(call_id);
  out.set_error_code(static_cast<raymesh::raystream::v1::ErrorCode>(raystream_code(error)));
  std::string message(public_message(error).substr(0, kMaxMessage));
  // Cut between two characters; and a client's own bytes, which may stand in it, need not be text.
  for (int i = 0; i < 4 && !is_valid_utf8(message) && !message.empty(); ++i) message.pop_back();
  if (message.empty() || !is_valid_utf8(message)) message = error.kind->meaning;
  out.set_error_message(std::move(message));
  out.set_status(static_cast<uint32_t>(error.http_status()));
  out.set_code(std::string(error.code()));
  if (error.retry_after.count() > 0)
    out.set_retry_after_ms(
        static_cast<uint32_t>(std::min<int64_t>(error.retry_after.count(), 3'600'000)));
  return out.SerializeAsString();
}

}  // namespace raymesh::gateway
