// Runs the real `raymesh` binary and waits for it.
#pragma once

#include <map>
#include <string>
#include <vector>

namespace raymesh::testing {

struct ProgramResult {
  int exit_code = -1;
  std::string out;
  std::string err;
};

/// The child's environment is `environment` alone.
ProgramResult run_raymesh(const std::vector<std::string>& arguments,
                          const std::map<std::string, std::string>& environment = {});

}  // namespace raymesh::testing
