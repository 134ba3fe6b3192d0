// Options::load: the three sources, in the order of their precedence.
#include <algorithm>
#include <cstring>
#include <set>

#include "libs/config/options.hpp"
#include "libs/config/secret_file.hpp"
#include "libs/config/values.hpp"
#include "libs/config/yaml_file.hpp"

extern char** environ;

namespace raymesh::config {
namespace {

using Values = std::vector<std::string>;

constexpr std::string_view kPrefix = "RAYMESH_";
constexpr std::string_view kConfigVariable = "RAYMESH_CONFIG";

Error bad(std::string message) {
  return Error(errors::kInvalidRequest, std::move(message));
}

std::string did_you_mean(std::string_view word, const std::vector<std::string>& known) {
  std::string best = nearest(word, known);
  return best.empty() ? "" : " (did you mean " + best + "?)";
}

std::string shown(const Values& values) {
  std::string out;
  for (const std::string& value : values) out += (out.empty() ? "" : ",") + value;
  if (out.size() > 200) out = out.substr(0, 200) + "...";
  return out;
}

/// One source's settings: each key at most once, counting a secret and its file as the same key.
class Source {
 public:
  /// `where` is how the source calls this key ("--listen", "RAYMESH_STORAGE_LISTEN",
  /// "storage.yaml:7: listen").
  Status apply(const Option& option, const Values& values, const std::string& where) {
    RAYMESH_CHECK_OK(once(option, where));
    Status status = option.set(values);
    if (status.ok()) return status;
    std::string value = option.is_secret ? "" : " \"" + shown(values) + "\"";
    return bad(where + value + ": " + status.error().message + "; accepted: " + option.accepted);
  }

  Status apply_file(const Option& option, const std::string& path, const std::string& where) {
    RAYMESH_CHECK_OK(once(option, where));
    auto secret = read_secret_file(path);
    if (!secret.ok()) return bad(where + ": " + secret.error().message);
    return option.set({*secret});
  }

 private:
  Status once(const Option& option, const std::string& where) {
    if (seen_.insert(&option).second) return ok_status();
    return bad(where + ": \"" + option.name + "\" is set twice" +
               (option.is_secret ? " (directly and by file, or twice)" : ""));
  }

  std::set<const Option*> seen_;
};

/// A key as a source spells it, and what it stands for.
struct Match {
  const Option* option = nullptr;
  bool is_file = false;  // the "-file" form of a secret
};

template <class Spell>
Match find_option(const std::vector<Option>& options, std::string_view key, std::string_view suffix,
                  Spell spell) {
  for (const Option& option : options) {
    std::string name = spell(option);
    if (name.empty()) continue;  // not an option of this place
    if (key == name) return {&option, false};
    if (option.is_secret && key == name + std::string(suffix)) return {&option, true};
  }
  return {};
}

template <class Spell>
std::vector<std::string> spellings(const std::vector<Option>& options, std::string_view suffix,
                                   Spell spell) {
  std::vector<std::string> out;
  for (const Option& option : options) {
    std::string name = spell(option);
    if (name.empty()) continue;
    out.push_back(name);
    if (option.is_secret) out.push_back(name + std::string(suffix));
  }
  return out;
}

Values values_of(const Option& option, const std::string& text) {
  return option.is_list ? split_list(text) : Values{text};
}

Status apply_yaml(const std::vector<Option>& options, const std::string& path,
                  const std::vector<std::string>& known_sections) {
  RAYMESH_TRY(YamlFile file, read_yaml_file(path));
  std::set<std::string> own;
  for (const Option& option : options) own.insert(option.section);
  std::vector<std::string> sections(known_sections);
  sections.insert(sections.end(), own.begin(), own.end());
  for (const YamlSection& section : file.sections) {
    if (std::ranges::find(sections, section.name) != sections.end()) continue;
    return bad(path + ":" + std::to_string(section.line) + ": unknown section \"" + section.name +
               "\"" + did_you_mean(section.name, sections));
  }

  Source source;
  for (const YamlSetting& setting : file.settings) {
    if (!own.contains(setting.section)) continue;  // another service's
    auto spell = [&](const Option& o) {
      return o.section == setting.section ? o.name : std::string();
    };
    Match match = find_option(options, setting.name, "-file", spell);
    std::string where = path + ":" + std::to_string(setting.line) + ": " +
                        (setting.section.empty() ? "" : setting.section + ".") + setting.name;
    if (!match.option) {
      return bad(where + ": unknown option" +
                 did_you_mean(setting.name, spellings(options, "-file", spell)));
    }
    const Option& option = *match.option;
    if (setting.is_sequence && (!option.is_list || match.is_file))
      return bad(where + ": a list where one value is expected; accepted: " + option.accepted);
    if (match.is_file) {
      RAYMESH_CHECK_OK(source.apply_file(option, setting.values.front(), where));
      continue;
    }
    if (option.is_secret) RAYMESH_CHECK_OK(check_not_world_readable(path));
    RAYMESH_CHECK_OK(source.apply(
        option, setting.is_sequence ? setting.values : values_of(option, setting.values.front()),
        where));
  }
  return ok_status();
}

Status apply_environment(const std::vector<Option>& options,
                         const std::map<std::string, std::string>& environment,
                         const std::vector<std::string>& known_sections) {
  std::set<std::string> own;
  for (const Option& option : options) own.insert(option.section);
  Source source;
  for (const auto& variable : environment) {
    const std::string& name = variable.first;
    const std::string& value = variable.second;
    if (!name.starts_with(kPrefix) || name == kConfigVariable) continue;
    Match match = find_option(options, name, "_FILE", Options::environment_name);
    if (match.option) {
      RAYMESH_CHECK_OK(match.is_file
                           ? source.apply_file(*match.option, value, name)
                           : source.apply(*match.option, values_of(*match.option, value), name));
      continue;
    }
    bool others = std::ranges::any_of(known_sections, [&](const std::string& section) {
      return !own.contains(section) && name.starts_with(environment_prefix(section));
    });
    if (others) continue;
    std::string hint = did_you_mean(name, spellings(options, "_FILE", Options::environment_name));
    if (name.ends_with("_SERVICE_HOST") || name.find("_PORT") != std::string::npos)
      hint += " (Kubernetes sets such names for its Services: use enableServiceLinks: false)";
    return bad(name + ": unknown environment variable" + hint);
  }
  return ok_status();
}

/// The arguments, taken apart.
struct Flags {
  struct Flag {
    Match match;
    std::string name;  // with its dashes
    std::string value;
  };
  std::vector<Flag> flags;
  std::vector<std::string> positional;
  std::string config_file;
};

Result<Flags> read_flags(const Options& options, const std::vector<std::string>& arguments) {
  Flags out;
  auto spell = [&](const Option& o) { return "--" + options.flag_name(o); };
  for (size_t i = 0; i < arguments.size(); ++i) {
    const std::string& argument = arguments[i];
    if (argument == "--") {
      out.positional.insert(out.positional.end(), arguments.begin() + static_cast<long>(i) + 1,
                            arguments.end());
      break;
    }
    if (argument.size() < 2 || argument[0] != '-') {
      out.positional.push_back(argument);
      continue;
    }
    size_t equals = std::min(argument.find('='), argument.size());
    Flags::Flag flag;
    flag.name = argument.substr(0, equals);
    bool is_config = flag.name == "--config";
    if (!is_config) {
      flag.match = find_option(options.all(), flag.name, "-file", spell);
      if (!flag.match.option) {
        return bad(flag.name + ": unknown option" +
                   did_you_mean(flag.name, spellings(options.all(), "-file", spell)) +
                   "; --help lists them");
      }
    }
    if (equals < argument.size()) {
      flag.value = argument.substr(equals + 1);
    } else if (!is_config && flag.match.option->is_flag) {
      flag.value = "true";
    } else if (i + 1 < arguments.size()) {
      flag.value = arguments[++i];
    } else {
      return bad(flag.name + ": the value is missing" +
                 (is_config ? "" : "; accepted: " + flag.match.option->accepted));
    }
    if (is_config) {
      out.config_file = flag.value;
    } else {
      out.flags.push_back(std::move(flag));
    }
  }
  return out;
}

}  // namespace

Result<std::vector<std::string>> Options::load(const Input& input,
                                               const std::vector<std::string>& known_sections) {
  RAYMESH_TRY(Flags flags, read_flags(*this, input.arguments));

  std::string file = flags.config_file;
  if (auto it = input.environment.find(std::string(kConfigVariable));
      file.empty() && it != input.environment.end())
    file = it->second;
  if (!file.empty()) RAYMESH_CHECK_OK(apply_yaml(options_, file, known_sections));
  RAYMESH_CHECK_OK(apply_environment(options_, input.environment, known_sections));

  Source source;
  for (const Flags::Flag& flag : flags.flags) {
    const Option& option = *flag.match.option;
    RAYMESH_CHECK_OK(flag.match.is_file
                         ? source.apply_file(option, flag.value, flag.name)
                         : source.apply(option, values_of(option, flag.value), flag.name));
  }
  return std::move(flags.positional);
}

Options::Input process_input(int argc, char** argv) {
  Options::Input out;
  for (int i = 1; i < argc; ++i) out.arguments.emplace_back(argv[i]);
  for (char** entry = environ; *entry; ++entry) {
    std::string_view text(*entry);
    size_t equals = text.find('=');
    if (equals != std::string_view::npos && text.starts_with(kPrefix))
      out.environment.emplace(text.substr(0, equals), text.substr(equals + 1));
  }
  return out;
}

}  // namespace raymesh::config
