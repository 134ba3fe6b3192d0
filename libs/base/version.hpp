// The version of this build, from the top-level CMakeLists.txt. Any thread.
#pragma once

#include <string_view>

namespace raymesh {

/// "0.1.0"
std::string_view version();

}  // namespace raymesh
