// A configuration file as a flat list of settings with their lines: the door to yaml-cpp. Used at
// start-up, by one thread.
#pragma once

#include <string>
#include <vector>

#include "libs/base/result.hpp"

namespace raymesh::config {

struct YamlSetting {
  std::string section;  // "" at the top level
  std::string name;
  std::vector<std::string> values;
  bool is_sequence = false;
  int line = 0;
};

struct YamlSection {
  std::string name;
  int line = 0;
};

struct YamlFile {
  std::string path;
  std::vector<YamlSection> sections;
  std::vector<YamlSetting> settings;
};

/// At most 1 MiB. Refuses keys that stand twice, values without content, and anything deeper than
/// section, name, value or list of values.
Result<YamlFile> read_yaml_file(const std::string& path);

}  // namespace raymesh::config
