#include "libs/config/options.hpp"

#include <algorithm>
#include <charconv>

#include "libs/config/values.hpp"

namespace raymesh::config {
namespace {

Status refused(std::string why) {
  return Error(errors::kInvalidRequest, std::move(why));
}

// Adapts a parser that returns optional<T> to Option::set, with bounds.
template <class T, class Parse>
std::function<Status(const std::vector<std::string>&)> bounded(T* value, T min, T max,
                                                               Parse parse) {
  return [=](const std::vector<std::string>& texts) -> Status {
    auto parsed = parse(texts.front());
    if (!parsed) return refused("it cannot be read");
    if (*parsed < min) return refused("it is too small");
    if (*parsed > max) return refused("it is too large");
    *value = *parsed;
    return ok_status();
  };
}

// As people write numbers: 1000000, not 1e+06.
std::string shortest(double v) {
  char buffer[400];  // of the largest double
  auto [end, ec] = std::to_chars(buffer, buffer + sizeof buffer, v, std::chars_format::fixed);
  return std::string(buffer, end);
}

std::string between(const std::string& min, const std::string& max) {
  return "from " + min + " to " + max;
}

// Appends `text` wrapped to 100 columns, continuation lines at `indent`.
void append_wrapped(std::string& out, std::string_view text, size_t indent) {
  constexpr size_t kColumns = 100;
  size_t column = indent;
  bool first = true;
  while (!text.empty()) {
    size_t end = std::min(text.find(' '), text.size());
    std::string_view word = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (!first && column + 1 + word.size() > kColumns) {
      out += '\n';
      out.append(indent, ' ');
      column = indent;
      first = true;
    }
    if (!first) {
      out += ' ';
      ++column;
    }
    out += word;
    column += word.size();
    first = false;
  }
  out += '\n';
}

}  // namespace

Options& Options::section(std::string name) {
  if (own_section_.empty()) own_section_ = name;
  section_ = std::move(name);
  return *this;
}

Option& Options::add(std::string name, std::string help) {
  Option& option = options_.emplace_back();
  option.section = section_;
  option.name = std::move(name);
  option.help = std::move(help);
  return option;
}

Options& Options::text(std::string name, std::string* value, std::string help) {
  Option& option = add(std::move(name), std::move(help));
  option.default_text = *value;
  option.metavar = "TEXT";
  option.accepted = "any text";
  option.set = [value](const std::vector<std::string>& texts) -> Status {
    *value = texts.front();
    return ok_status();
  };
  return *this;
}

Options& Options::secret(std::string name, std::string* value, std::string help) {
  text(std::move(name), value, std::move(help));
  options_.back().default_text.clear();
  options_.back().is_secret = true;
  return *this;
}

Options& Options::boolean(std::string name, bool* value, std::string help) {
  Option& option = add(std::move(name), std::move(help));
  option.default_text = *value ? "true" : "false";
  option.is_flag = true;
  option.accepted = "true or false";
  option.set = bounded<bool>(value, false, true, parse_boolean);
  return *this;
}

Options& Options::integer(std::string name, int64_t* value, int64_t min, int64_t max,
                          std::string help) {
  Option& option = add(std::move(name), std::move(help));
  option.default_text = std::to_string(*value);
  option.metavar = "N";
  option.accepted = "a whole number " + between(std::to_string(min), std::to_string(max));
  option.set = bounded(value, min, max, parse_integer);
  return *this;
}

Options& Options::number(std::string name, double* value, double min, double max,
                         std::string help) {
  Option& option = add(std::move(name), std::move(help));
  option.default_text = shortest(*value);
  option.metavar = "NUMBER";
  option.accepted = "a number " + between(shortest(min), shortest(max));
  option.set = bounded(value, min, max, parse_number);
  return *this;
}

Options& Options::duration(std::string name, std::chrono::milliseconds* value,
                           std::chrono::milliseconds min, std::chrono::milliseconds max,
                           std::string help) {
  Option& option = add(std::move(name), std::move(help));
  option.default_text = format_duration(*value);
  option.metavar = "DURATION";
  option.accepted = "a duration with its unit (250ms, 10s, 5m, 24h) " +
                    between(format_duration(min), format_duration(max));
  option.set = bounded(value, min, max, parse_duration);
  return *this;
}

Options& Options::bytes(std::string name, uint64_t* value, uint64_t min, uint64_t max,
                        std::string help) {
  Option& option = add(std::move(name), std::move(help));
  option.default_text = format_bytes(*value);
  option.metavar = "SIZE";
  option.accepted =
      "a number of bytes (64, 16KiB, 8MiB, 1GiB) " + between(format_bytes(min), format_bytes(max));
  option.set = bounded(value, min, max, parse_bytes);
  return *this;
}

Options& Options::choice(std::string name, std::string* value, std::vector<std::string> choices,
                         std::string help) {
  Option& option = add(std::move(name), std::move(help));
  option.default_text = *value;
  option.metavar = "WORD";
  for (const std::string& choice : choices)
    option.accepted += (option.accepted.empty() ? "" : ", ") + choice;
  option.set = [value,
                choices = std::move(choices)](const std::vector<std::string>& texts) -> Status {
    if (std::ranges::find(choices, texts.front()) == choices.end())
      return refused("it is not one of the choices");
    *value = texts.front();
    return ok_status();
  };
  return *this;
}

Options& Options::list(std::string name, std::vector<std::string>* value, std::string help) {
  Option& option = add(std::move(name), std::move(help));
  for (const std::string& item : *value)
    option.default_text += (option.default_text.empty() ? "" : ",") + item;
  option.metavar = "A,B,...";
  option.is_list = true;
  option.accepted = "a list without empty items";
  option.set = [value](const std::vector<std::string>& items) -> Status {
    if (std::ranges::any_of(items, [](const std::string& item) { return item.empty(); }))
      return refused("an item is empty");
    *value = items;
    return ok_status();
  };
  return *this;
}

Options& Options::secret_list(std::string name, std::vector<std::string>* value, std::string help) {
  list(std::move(name), value, std::move(help));
  Option& option = options_.back();
  option.default_text.clear();
  option.is_secret = true;
  option.set = [value](const std::vector<std::string>& texts) -> Status {
    std::vector<std::string> items;
    // Only a file's content has line ends, and comes as one text.
    for (std::string text : texts) {
      std::ranges::replace(text, '\n', ',');
      for (std::string& item : split_list(text)) items.push_back(std::move(item));
    }
    if (std::ranges::any_of(items, [](const std::string& item) { return item.empty(); }))
      return refused("an item is empty");
    *value = std::move(items);
    return ok_status();
  };
  return *this;
}

std::string Options::flag_name(const Option& option) const {
  if (option.section.empty() || option.section == own_section_) return option.name;
  return option.section + "-" + option.name;
}

std::string Options::environment_name(const Option& option) {
  return environment_prefix(option.section) + upper_snake(option.name);
}

std::string Options::help(std::string_view program, std::string_view summary) const {
  std::string out = std::string(program) + " - " + std::string(summary) + "\n\n";
  out += "Flags are read over environment variables over the file of --config over the defaults.\n";

  std::vector<std::string> sections;
  size_t width = 0;
  auto left = [this](const Option& o) {
    std::string text = "--" + flag_name(o);
    if (!o.metavar.empty()) text += " " + o.metavar;
    return text;
  };
  for (const Option& option : options_) {
    if (std::ranges::find(sections, option.section) == sections.end())
      sections.push_back(option.section);
    width = std::max(width, left(option).size());
  }
  // The program's own options first, what every binary has last.
  std::stable_partition(sections.begin(), sections.end(),
                        [](const std::string& s) { return !s.empty(); });
  width = std::min<size_t>(width, 34) + 4;

  auto line = [&](const std::string& name, const std::string& text) {
    std::string head = "  " + name;
    if (head.size() + 2 > width) {
      out += head + "\n";
      out.append(width, ' ');
    } else {
      head.resize(width, ' ');
      out += head;
    }
    append_wrapped(out, text, width);
  };

  for (const std::string& section : sections) {
    out += section.empty()
               ? "\nCommon options (in the file at the top level):\n"
               : "\nOptions of " + section + " (in the file below \"" + section + ":\"):\n";
    for (const Option& option : options_) {
      if (option.section != section) continue;
      std::string text = option.help;
      if (!text.empty() && text.back() != '.') text += '.';
      if (option.is_secret) {
        text += " Secret; --" + flag_name(option) + "-file reads it from a file.";
      } else if (!option.default_text.empty()) {
        text += " Default " + option.default_text + ".";
      }
      line(left(option), text + " " + environment_name(option));
    }
  }
  out += "\nOther:\n";
  line("--config FILE", "YAML file. RAYMESH_CONFIG");
  line("--help", "This text.");
  line("--version", "The version.");
  return out;
}

Options::Ask Options::asks(const Input& input) {
  for (const std::string& argument : input.arguments) {
    if (argument == "--") break;
    if (argument == "--help" || argument == "-h") return Ask::kHelp;
    if (argument == "--version") return Ask::kVersion;
  }
  return Ask::kNothing;
}

}  // namespace raymesh::config
