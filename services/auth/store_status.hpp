// What the stores make of PostgreSQL's answers. Pure; any thread.
#pragma once

#include <string_view>

#include "libs/base/result.hpp"

namespace raymesh::pg {
class Answer;
}

namespace raymesh::auth {

/// ok; unavailable when the connection broke or the server cannot serve (it shuts down, is out of
/// resources, may only be read, or took too long); otherwise internal with PostgreSQL's message. A
/// missing schema says how to make it.
Status store_status(const pg::Answer& answer, std::string_view what);

}  // namespace raymesh::auth
