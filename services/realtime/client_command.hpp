// What a client of raymesh.realtime.v1 may send, in its two forms: JSON text and Protobuf. Both
// become the same Command. Pure; any thread.
#pragma once

#include <string_view>
#include <vector>

#include "libs/base/result.hpp"
#include "raymesh/realtime/v1/socket.pb.h"

namespace raymesh::realtime {

inline constexpr size_t kMaxCommands = 100;  // in one frame

/// A command, or why there is none; `id` is set wherever it could be read.
struct ParsedCommand {
  v1::Command command;
  std::string problem;  // empty: the command is good
};

/// One object, or an array of them. Errors: invalid_json; invalid_request for a frame with too
/// many.
Result<std::vector<ParsedCommand>> parse_json_commands(std::string_view text);
/// A ClientFrame. Errors: invalid_request.
Result<std::vector<ParsedCommand>> parse_proto_commands(std::string_view bytes);

}  // namespace raymesh::realtime
