// Writes what goes out to clients in the form of their dialect: single events, and messages of a
// channel, which are the hot path and so written without an object in between. A frame is what must
// not be torn apart: a WebSocket frame, or a line or event of a stream. Pure; any thread.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "raymesh/realtime/v1/socket.pb.h"
#include "services/realtime/dialect.hpp"
#include "services/realtime/position.hpp"
#include "services/realtime/publish_batch.hpp"

namespace raymesh::realtime {

/// One event as one frame. Default frames have only a few kinds of events: nothing is appended for
/// the others.
void append_event(std::string& out, Dialect dialect, const v1::Event& event);
/// The event as JSON: what kJson frames hold.
void append_event_json(std::string& out, const v1::Event& event);

/// Appends the batch's messages, whose first one has the position `first`, as few frames, or as one
/// frame for each message when they are to be `single`. With kDefault they always are.
void append_messages(std::string& out, Dialect dialect, std::string_view channel,
                     const PublishBatch& batch, Position first, bool single);

/// A frame of kRelay: what is written into the event of a RelayDown behind the feed's number, which
/// each gateway has its own of. First comes the length of the rest (4 bytes).
struct RelayFrame {
  uint32_t event = 0;       // field of RelayEvent: messages, join, leave or gap
  std::string_view fields;  // of that message, but for the feed
  size_t bytes = 0;         // the whole frame

  /// The one that begins at `frames`, which holds whole ones.
  static RelayFrame first(std::string_view frames);
};

/// The length of the frame that begins at `data`, of which `size` bytes hold whole frames.
size_t frame_bytes(Dialect dialect, const char* data, size_t size);

}  // namespace raymesh::realtime
