#include "libs/config/values.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>
#include <span>

namespace raymesh::config {
namespace {

template <class T>
std::optional<T> parse_all(std::string_view text) {
  T value{};
  auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (ec != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

struct Scale {
  std::string_view suffix;
  uint64_t factor;
};
// Longest unit first, which is also the order in which formatting tries them.
constexpr std::array<Scale, 4> kDurations{
    {{"h", 3'600'000}, {"m", 60'000}, {"s", 1'000}, {"ms", 1}}};
constexpr std::array<Scale, 4> kSizes{
    {{"GiB", 1u << 30}, {"MiB", 1u << 20}, {"KiB", 1u << 10}, {"", 1}}};

std::optional<uint64_t> parse_scaled(std::string_view text, std::span<const Scale> scales) {
  size_t digits = std::min(text.find_first_not_of("0123456789"), text.size());
  auto count = parse_all<uint64_t>(text.substr(0, digits));
  if (!count) return std::nullopt;
  for (const Scale& scale : scales) {
    if (text.substr(digits) != scale.suffix) continue;
    if (*count > static_cast<uint64_t>(std::numeric_limits<int64_t>::max()) / scale.factor)
      return std::nullopt;
    return *count * scale.factor;
  }
  return std::nullopt;
}

std::string format_scaled(uint64_t value, std::span<const Scale> scales) {
  for (const Scale& scale : scales)
    if (value % scale.factor == 0 && (value != 0 || scale.factor == 1))
      return std::to_string(value / scale.factor) + std::string(scale.suffix);
  return std::to_string(value);
}

// Levenshtein distance.
size_t typing_errors(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      size_t substituted = diagonal + (a[i - 1] != b[j - 1]);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, substituted});
    }
  }
  return row[b.size()];
}

}  // namespace

std::optional<bool> parse_boolean(std::string_view text) {
  if (text == "true" || text == "yes" || text == "on" || text == "1") return true;
  if (text == "false" || text == "no" || text == "off" || text == "0") return false;
  return std::nullopt;
}

std::optional<int64_t> parse_integer(std::string_view text) {
  return parse_all<int64_t>(text);
}

std::optional<double> parse_number(std::string_view text) {
  auto value = parse_all<double>(text);
  if (value && !std::isfinite(*value)) return std::nullopt;
  return value;
}

std::optional<std::chrono::milliseconds> parse_duration(std::string_view text) {
  auto value = parse_scaled(text, kDurations);
  if (!value) return std::nullopt;
  return std::chrono::milliseconds(static_cast<int64_t>(*value));
}

std::optional<uint64_t> parse_bytes(std::string_view text) {
  return parse_scaled(text, kSizes);
}

std::vector<std::string> split_list(std::string_view text) {
  std::vector<std::string> out;
  while (!text.empty()) {
    size_t comma = std::min(text.find(','), text.size());
    std::string_view item = text.substr(0, comma);
    while (!item.empty() && item.front() == ' ') item.remove_prefix(1);
    while (!item.empty() && item.back() == ' ') item.remove_suffix(1);
    out.emplace_back(item);
    text.remove_prefix(std::min(comma + 1, text.size()));
  }
  return out;
}

std::string format_duration(std::chrono::milliseconds value) {
  return format_scaled(static_cast<uint64_t>(value.count()), kDurations);
}

std::string format_bytes(uint64_t value) {
  return format_scaled(value, kSizes);
}

std::string upper_snake(std::string_view kebab) {
  std::string out(kebab);
  for (char& c : out) {
    if (c == '-') c = '_';
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  }
  return out;
}

std::string environment_prefix(std::string_view section) {
  return section.empty() ? "RAYMESH_" : "RAYMESH_" + upper_snake(section) + "_";
}

std::string nearest(std::string_view word, const std::vector<std::string>& candidates) {
  std::string best;
  size_t best_errors = std::max<size_t>(2, word.size() / 4) + 1;
  for (const std::string& candidate : candidates) {
    if (size_t errors = typing_errors(word, candidate); errors < best_errors) {
      best_errors = errors;
      best = candidate;
    }
  }
  return best;
}

}  // namespace raymesh::config
