// Runs the command line inside the test.
#pragma once

#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "apps/raymesh/command_line.hpp"

namespace raymesh::cli {

struct CliResult {
  int exit_code = 0;
  std::string out;
  std::string err;
};

inline CliResult run_cli(std::vector<std::string> arguments,
                         std::map<std::string, std::string> environment = {}) {
  std::ostringstream out;
  std::ostringstream err;
  const int exit_code = run({{std::move(arguments), std::move(environment)}, out, err});
  return {exit_code, out.str(), err.str()};
}

}  // namespace raymesh::cli
