// The one mapping from an Error to what a raystream client sees. Pure.
#pragma once

#include <cstdint>
#include <string>

#include "libs/base/result.hpp"
#include "libs/raystream/protocol.hpp"

namespace raymesh::gateway {

/// By the gRPC status of the error's row, with four rows that have a code of their own.
raystream::ErrorCode raystream_code(const Error& error);

/// The payload of RPC_ERROR. What went wrong inside of raymesh is not told.
std::string rpc_error(uint64_t call_id, const Error& error);

}  // namespace raymesh::gateway
