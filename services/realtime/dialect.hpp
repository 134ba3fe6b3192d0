// The forms that one message takes on its way out: each channel encodes a message once for every
// dialect that it has subscribers of. docs/protocols/realtime.md describes them.
#pragma once

#include <cstddef>
#include <cstdint>

namespace raymesh::realtime {

enum class Dialect : uint8_t {
  kDefault,     // WebSocket: DontCode's frames
  kJson,        // WebSocket: raymesh.realtime.v1
  kProto,       // WebSocket: raymesh.realtime.v1.proto
  kLines,       // HTTP: v1 events, a line each
  kEvents,      // HTTP: v1 events as text/event-stream, each with its position as id
  kEventsMany,  // the same for several channels: the id comes behind, per connection
  kRelay        // to a gateway, for its raystream sessions: see RelayFrame
};
inline constexpr size_t kDialects = 7;

inline bool is_stream(Dialect d) {
  return d >= Dialect::kLines && d <= Dialect::kEventsMany;
}

/// Who gets what: a dialect, whether join and leave events are wanted, too, and whether messages
/// are compressed (permessage-deflate).
struct Audience {
  Dialect dialect = Dialect::kDefault;
  bool watches = false;
  bool deflated = false;

  bool operator==(const Audience&) const = default;
};

}  // namespace raymesh::realtime
