// The frames of the `Calls` stream as bytes (proto/raymesh/common/v1/calls.proto, protobuf wire
// format). Written and read by hand, because this is the hottest path of the cluster: a call's
// payload is copied once on the way out and looked at in place on the way in, and no message object
// is made for a frame. tests/unit/rpc checks it against protobuf's own code. Pure, any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "libs/base/result.hpp"

namespace raymesh::rpc::frames {

/// A reply or a request above this travels in chunks of at most this size.
inline constexpr size_t kChunkBytes = 32u << 10;
/// Frames are batched up to this size; one batch is one gRPC message.
inline constexpr size_t kBatchBytes = 64u << 10;
/// What a receiver of batches accepts: a batch and its last frame's context and envelope.
inline constexpr size_t kMaxMessageBytes = kBatchBytes + (32u << 10);
/// Bytes of a request that may be sent before the service's first Credit.
inline constexpr uint32_t kRequestCredit = 256u << 10;
/// Bound of every text in a call's context, and of a method's name.
inline constexpr size_t kMaxText = 256;

// Field numbers of ClientFrame and ServerFrame.
inline constexpr uint32_t kCall = 2;
inline constexpr uint32_t kError = 2;
inline constexpr uint32_t kChunk = 3;
inline constexpr uint32_t kCredit = 4;
inline constexpr uint32_t kCancel = 5;
inline constexpr uint32_t kDrain = 5;

void append_varint(std::string& out, uint64_t value);
void append_frame(std::string& out, uint64_t id, uint32_t field, std::string_view body);
void append_chunk(std::string& out, uint64_t id, std::string_view payload, bool more);
void append_credit(std::string& out, uint64_t id, uint32_t bytes);
void append_error(std::string& out, uint64_t id, const Error& error);

/// One field of a protobuf message.
struct Field {
  uint32_t number = 0;
  uint64_t value = 0;      // wire type 0, 1 or 5
  std::string_view bytes;  // wire type 2
};

/// Walks over the fields of a message. `next` is false at the end and for malformed bytes; `ok`
/// tells which. Groups are malformed: no message of ours has them.
class Reader {
 public:
  explicit Reader(std::string_view message)
      : at_(message.data()), end_(message.data() + message.size()) {}
  bool next(Field& field);
  bool ok() const { return ok_; }

 private:
  bool varint(uint64_t& value);
  bool malformed();

  const char* at_;
  const char* end_;
  bool ok_ = true;
};

/// One frame of a batch; `field` says which, `body` is its message.
struct Frame {
  uint64_t id = 0;
  uint32_t field = 0;  // 0: the frame is empty
  std::string_view body;
};
bool parse_frame(std::string_view bytes, Frame& out);

struct ChunkBody {
  std::string_view payload;
  bool more = false;
};
bool parse_chunk(std::string_view body, ChunkBody& out);
bool parse_credit(std::string_view body, uint32_t& bytes);
/// Unknown codes become `internal` with the code in the message.
Error parse_error(std::string_view body);

struct ContextBody {
  std::string_view project;
  std::string_view user;
  std::string_view session;
  std::string_view traceparent;
  std::string_view request_id;
  std::string_view client_address;
};
bool parse_context(std::string_view body, ContextBody& out);
/// A serialized CallContext.
void append_context(std::string& out, const ContextBody& context);

struct CallBody {
  std::string_view method;
  uint32_t timeout_ms = 0;
  ContextBody context;
  std::string_view payload;
  bool more = false;
  uint32_t credit = 0;
};
bool parse_call(std::string_view body, CallBody& out);

/// The body of a Call frame, as it is sent. `context` is a serialized CallContext.
struct CallParts {
  std::string_view method = {};
  uint32_t timeout_ms = 0;
  std::string_view context = {};
  std::string_view payload = {};
  bool more = false;
  uint32_t credit = 0;
};
void append_call(std::string& out, uint64_t id, const CallParts& call);

}  // namespace raymesh::rpc::frames
