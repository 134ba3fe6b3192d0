#include "libs/config/yaml_file.hpp"

#include <yaml-cpp/yaml.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <set>

namespace raymesh::config {
namespace {

constexpr std::streamsize kMaxFileBytes = 1 << 20;

Error bad(const std::string& path, int line, const std::string& what) {
  return Error(errors::kInvalidRequest, path + ":" + std::to_string(line) + ": " + what);
}

int line_of(const YAML::Node& node) {
  return node.Mark().line + 1;
}

class Reader {
 public:
  explicit Reader(YamlFile& file) : file_(file) {}

  Status read_map(const YAML::Node& map, const std::string& section) {
    std::set<std::string> seen;
    for (const auto& entry : map) {
      int line = line_of(entry.first);
      if (!entry.first.IsScalar()) return bad(file_.path, line, "a key must be a plain word");
      const std::string& key = entry.first.Scalar();
      if (!seen.insert(key).second) return bad(file_.path, line, "\"" + key + "\" stands twice");
      if (entry.second.IsMap()) {
        if (!section.empty())
          return bad(file_.path, line, "\"" + key + "\" takes a value, not a map");
        file_.sections.push_back({key, line});
        RAYMESH_CHECK_OK(read_map(entry.second, key));
      } else {
        RAYMESH_CHECK_OK(read_value(entry.second, section, key, line));
      }
    }
    return ok_status();
  }

 private:
  Status read_value(const YAML::Node& node, const std::string& section, const std::string& key,
                    int line) {
    YamlSetting setting{section, key, {}, node.IsSequence(), line};
    if (node.IsScalar()) {
      setting.values.push_back(node.Scalar());
    } else if (node.IsSequence()) {
      for (const auto& item : node) {
        if (!item.IsScalar())
          return bad(file_.path, line_of(item), "\"" + key + "\" takes a list of plain values");
        setting.values.push_back(item.Scalar());
      }
    } else {
      return bad(file_.path, line, "\"" + key + "\" has no value");
    }
    file_.settings.push_back(std::move(setting));
    return ok_status();
  }

  YamlFile& file_;
};

}  // namespace

Result<YamlFile> read_yaml_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::string text(static_cast<size_t>(kMaxFileBytes) + 1, '\0');
  if (in) in.read(text.data(), kMaxFileBytes + 1);
  if (in.bad() || (!in && !in.eof())) {
    return Error(errors::kInvalidRequest,
                 "cannot read the configuration file " + path + ": " + std::strerror(errno));
  }
  if (in.gcount() > kMaxFileBytes)
    return Error(errors::kInvalidRequest, path + ": a configuration file has at most 1 MiB");
  text.resize(static_cast<size_t>(in.gcount()));

  YamlFile file;
  file.path = path;
  try {
    YAML::Node root = YAML::Load(text);
    if (root.IsNull()) return file;
    if (!root.IsMap()) return bad(path, 1, "the file must be a map of options and sections");
    RAYMESH_CHECK_OK(Reader(file).read_map(root, ""));
  } catch (const YAML::Exception& e) {
    return bad(path, e.mark.line + 1, "not valid YAML: " + e.msg);
  }
  return file;
}

}  // namespace raymesh::config
