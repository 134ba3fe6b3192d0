// An Error between processes: as common.v1.Error in frames and trailing metadata, and as a gRPC
// status. Pure, any thread.
#pragma once

#include <grpcpp/support/status.h>

#include "libs/base/result.hpp"

namespace raymesh::common::v1 {
class Error;
}

namespace raymesh::rpc {

/// Trailing metadata of a unary method that failed: a serialized common.v1.Error.
inline constexpr char kErrorMetadata[] = "raymesh-error-bin";

common::v1::Error error_to_proto(const Error& error);
/// A code that is not in our table (a newer service) keeps its text and becomes `internal`, or
/// `unavailable` when its status says so.
Error error_from_proto(const common::v1::Error& proto);
grpc::Status error_to_status(const Error& error);

}  // namespace raymesh::rpc
