// The messages of calls as they lie in frames: RpcCall read in place, without allocating anything
// that a stranger could multiply, and RpcResponse written around a result that stays where it is.
// Pure functions; any thread.
#pragma once

#include <cstdint>
#include <string_view>

namespace raymesh::gateway {

/// One RPC_CALL. Views into the payload.
struct CallFrame {
  uint64_t call_id = 0;
  std::string_view method;
  std::string_view args;
  bool more = false;
  // Metadata.
  std::string_view content_type;
  std::string_view timeout_ms;
  std::string_view traceparent;
  std::string_view idempotency_key;
  std::string_view path;
  std::string_view query;
};

/// False when the payload is no RpcCall, or has more than 32 entries of metadata.
bool parse_call(std::string_view payload, CallFrame& out);

/// Whether these bytes are a serialized message, of whatever kind; its fields' own contents are not
/// looked at.
bool is_message(std::string_view bytes);

/// The bytes of a serialized message's last field with this number that holds text or bytes; empty
/// when there is none, or the message does not parse. For what must be known of arguments that are
/// passed on as they are.
std::string_view text_field(std::string_view message, uint32_t number);

/// What stands before the result in a serialized RpcResponse.
struct RpcResponseHead {
  char bytes[32];
  size_t size = 0;
  std::string_view view() const { return {bytes, size}; }
};
/// `status` 0 is left out: it stands in the first frame of an answer only.
RpcResponseHead rpc_response_head(uint64_t call_id, uint32_t status, size_t result_bytes);
/// And behind it, when more frames follow.
inline constexpr std::string_view kMoreFollows("\x20\x01", 2);

}  // namespace raymesh::gateway
