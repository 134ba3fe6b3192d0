#include "libs/rpc/error_wire.hpp"

#include <algorithm>
#include <limits>

#include "raymesh/common/v1/calls.pb.h"

namespace raymesh::rpc {

common::v1::Error error_to_proto(const Error& error) {
  common::v1::Error proto;
  proto.set_status(static_cast<uint32_t>(error.status()));
  proto.set_code(std::string(error.code()));
  proto.set_message(error.message);
  proto.set_retry_after_ms(static_cast<uint32_t>(
      std::clamp<int64_t>(error.retry_after.count(), 0, std::numeric_limits<uint32_t>::max())));
  return proto;
}

Error error_from_proto(const common::v1::Error& proto) {
  const std::chrono::milliseconds retry(proto.retry_after_ms());
  if (const ErrorKind* kind = errors::find(proto.code()))
    return Error(*kind, proto.message(), retry);
  const bool unavailable = proto.status() == static_cast<uint32_t>(StatusCode::kUnavailable);
  return Error(unavailable ? errors::kUnavailable : errors::kInternal,
               proto.code() + ": " + proto.message(), retry);
}

}  // namespace raymesh::rpc
