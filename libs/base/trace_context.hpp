// W3C Trace Context (https://www.w3.org/TR/trace-context/, level 1): the traceparent header.
// Values; any thread.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace raymesh {

struct TraceContext {
  std::array<uint8_t, 16> trace_id{};
  std::array<uint8_t, 8> span_id{};
  uint8_t flags = 0;

  /// A new trace with random ids.
  static TraceContext start();
  /// nullopt for anything that section 3.2 does not allow (all-zero ids, upper case, bad version).
  static std::optional<TraceContext> parse(std::string_view traceparent);
  /// The same trace, a new random span: what a hop sends on.
  TraceContext child() const;

  std::string to_string() const;
  std::string trace_id_hex() const;
};

}  // namespace raymesh
