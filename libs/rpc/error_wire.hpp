// An Error between processes: as common.v1.Error in frames and trailing metadata. Pure, any thread.
#pragma once

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

}  // namespace raymesh::rpc
