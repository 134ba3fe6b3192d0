// The text forms of configuration values: durations, sizes, numbers, switches. Pure functions, any
// thread. An error says what is wrong with the text, not where it came from.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace raymesh::config {

/// true, yes, on, 1 and false, no, off, 0.
std::optional<bool> parse_boolean(std::string_view text);
std::optional<int64_t> parse_integer(std::string_view text);
/// Decimal, finite.
std::optional<double> parse_number(std::string_view text);
/// A whole number and ms, s, m or h.
std::optional<std::chrono::milliseconds> parse_duration(std::string_view text);
/// A whole number of bytes, or with KiB, MiB or GiB.
std::optional<uint64_t> parse_bytes(std::string_view text);
/// At commas, without white space around the items; an empty text has no items.
std::vector<std::string> split_list(std::string_view text);

/// The shortest text that the parsers above read as the same value.
std::string format_duration(std::chrono::milliseconds value);
std::string format_bytes(uint64_t value);

/// "log-level" is LOG_LEVEL.
std::string upper_snake(std::string_view kebab);
/// What the variables of a section begin with: "RAYMESH_STORAGE_", or "RAYMESH_" for "".
std::string environment_prefix(std::string_view section);

/// The candidate that differs from `word` by the fewest typing errors, or "" when none is close.
std::string nearest(std::string_view word, const std::vector<std::string>& candidates);

}  // namespace raymesh::config
