// Configuration: flags over environment over a YAML file over defaults, the same for every binary.
//
// An option belongs to a section: "" (common: every binary has it) or a service's name. Option
// `listen` of section `storage` is the flag --listen of raymesh-storage, the environment variable
// RAYMESH_STORAGE_LISTEN and `storage: {listen: ...}` in the file; a common option `log-level` is
// --log-level, RAYMESH_LOG_LEVEL and `log-level: ...`. One file and one environment can so serve a
// whole cluster. An unknown key in the own or the common section, an unknown section, or a bad
// value stops the start with a message that names it.
//
// A program that declares several named sections (`raymesh dev`) gives the first one the short
// flags; the others' are --<section>-<name>, as in --storage-listen, while environment and file
// stay the same. Used at start-up, by one thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "libs/base/result.hpp"

namespace raymesh::config {

struct Option {
  std::string section;
  std::string name;  // kebab-case
  std::string help;
  std::string default_text;
  bool is_flag = false;    // boolean: `--name` alone means true
  bool is_secret = false;  // default and value are never shown; `--name-file` reads it from a file
  bool is_list = false;
  std::string accepted;  // what `set` takes, for messages and help: "10s, between 1s and 10m"
  std::string metavar;   // for help: TEXT, N, DURATION, ...
  /// Items of a list, one element for everything else. The error says why, without the key.
  std::function<Status(const std::vector<std::string>&)> set;
};

class Options {
 public:
  /// Sets the section for the options declared next.
  Options& section(std::string name);

  Options& text(std::string name, std::string* value, std::string help);
  /// Also accepts `<name>-file` (flag, RAYMESH_..._FILE and YAML): the file's content without the
  /// last newline.
  Options& secret(std::string name, std::string* value, std::string help);
  Options& boolean(std::string name, bool* value, std::string help);
  Options& integer(std::string name, int64_t* value, int64_t min, int64_t max, std::string help);
  Options& number(std::string name, double* value, double min, double max, std::string help);
  /// "250ms", "10s", "5m", "24h"; a bare number is refused.
  Options& duration(std::string name, std::chrono::milliseconds* value,
                    std::chrono::milliseconds min, std::chrono::milliseconds max, std::string help);
  /// "64", "16KiB", "8MiB", "1GiB".
  Options& bytes(std::string name, uint64_t* value, uint64_t min, uint64_t max, std::string help);
  /// One of `choices`.
  Options& choice(std::string name, std::string* value, std::vector<std::string> choices,
                  std::string help);
  /// Comma-separated in flags and environment, a sequence in YAML.
  Options& list(std::string name, std::vector<std::string>* value, std::string help);

  /// A list that is a secret: as list, and by `<name>-file` with commas or line ends between items.
  Options& secret_list(std::string name, std::vector<std::string>* value, std::string help);

  const std::vector<Option>& all() const { return options_; }
  /// The text of --help: options by section with flag, default and environment variable.
  std::string help(std::string_view program, std::string_view summary) const;
  /// Without dashes: "listen", "storage-listen".
  std::string flag_name(const Option& option) const;
  static std::string environment_name(const Option& option);

  struct Input {
    std::vector<std::string> arguments;              // without the program's name
    std::map<std::string, std::string> environment;  // only RAYMESH_* matters
  };
  enum class Ask { kNothing, kHelp, kVersion };
  /// Whether the arguments before a "--" hold --help, -h or --version, to be looked at before load.
  static Ask asks(const Input& input);
  /// Applies file (--config FILE or RAYMESH_CONFIG), environment and flags in this order.
  /// `known_sections` are the other services' names, whose parts of a shared file are skipped.
  /// Returns the positional arguments. The error's message names key, value, where it came from and
  /// what is accepted.
  Result<std::vector<std::string>> load(const Input& input,
                                        const std::vector<std::string>& known_sections);

 private:
  Option& add(std::string name, std::string help);

  std::string section_;
  std::string own_section_;  // the first named one
  std::vector<Option> options_;
};

Options::Input process_input(int argc, char** argv);

}  // namespace raymesh::config
