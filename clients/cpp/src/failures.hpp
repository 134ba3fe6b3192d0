// The errors that this client makes itself, and the reading of those that the server sends. Pure.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "libs/raystream/plain_frame.hpp"
#include "raymesh/client/error.hpp"
#include "raymesh/raystream/v1/raystream.pb.h"

namespace raymesh::client {

/// The connection is gone, or was never made.
Error network_error(const std::string& message);
/// A write was sent, and the connection broke before its answer came.
Error outcome_unknown(const std::string& method);
Error timed_out(const std::string& method, std::chrono::milliseconds after);
/// No answer, and no connection either when the time was over.
Error unreachable(std::chrono::milliseconds after, const Error& last);
/// Something that only a defect or an attack explains; the session does not go on by itself.
Error distrust(std::string_view message);
Error client_closed();
Error cancelled();
Error invalid_option(const std::string& message);

Error from_rpc_error(const raystream::v1::RpcError& error);
/// What a CLOSE said; a plain one anybody on the way could have sent.
Error from_close(const raystream::CloseReason& close, bool encrypted);

}  // namespace raymesh::client
