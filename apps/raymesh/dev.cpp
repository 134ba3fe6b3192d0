#include <iostream>

#include "apps/raymesh/commands.hpp"

namespace raymesh::cli {

int dev_command(const config::Options::Input&) {
  std::cerr << "raymesh: this build has no `dev`\n";
  return kExitFailure;
}

}  // namespace raymesh::cli
