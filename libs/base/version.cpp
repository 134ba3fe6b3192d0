#include "libs/base/version.hpp"

namespace raymesh {

std::string_view version() {
  return RAYMESH_VERSION;
}

}  // namespace raymesh
