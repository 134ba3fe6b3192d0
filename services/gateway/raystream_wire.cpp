#include "services/gateway/raystream_wire.hpp"

#include <cstddef>

#include "libs/base/protobuf_fields.hpp"

namespace raymesh::gateway {
namespace {

constexpr size_t kMaxMetadata = 32;

bool take_metadata(std::string_view entry, CallFrame& out) {
  std::string_view key, value;
  ProtobufFields fields(entry);
  while (fields.next()) {
    if (fields.is_text(1)) key = fields.text();
    if (fields.is_text(2)) value = fields.text();
  }
  if (key == "content-type") out.content_type = value;
  if (key == "timeout-ms") out.timeout_ms = value;
  if (key == "traceparent") out.traceparent = value;
  if (key == "idempotency-key") out.idempotency_key = value;
  if (key == "path") out.path = value;
  if (key == "query") out.query = value;
  return !fields.bad();
}

void put_varint(RpcResponseHead& head, uint64_t value) {
  while (value >= 0x80) {
    head.bytes[head.size++] = static_cast<char>(value | 0x80);
    value >>= 7;
  }
  head.bytes[head.size++] = static_cast<char>(value);
}

}  // namespace

bool parse_call(std::string_view payload, CallFrame& out) {
  out = {};
  size_t metadata = 0;
  ProtobufFields fields(payload);
  while (fields.next()) {
    if (fields.is_number(1)) out.call_id = fields.value();
    if (fields.is_text(2)) out.method = fields.text();
    if (fields.is_text(3)) out.args = fields.text();
    if (fields.is_number(4)) out.more = fields.value() != 0;
    if (fields.is_text(5) && (++metadata > kMaxMetadata || !take_metadata(fields.text(), out)))
      return false;
  }
  return !fields.bad();
}

bool is_message(std::string_view bytes) {
  ProtobufFields fields(bytes);
  while (fields.next()) {
  }
  return !fields.bad();
}

std::string_view text_field(std::string_view message, uint32_t number) {
  std::string_view found;
  ProtobufFields fields(message);
  while (fields.next())
    if (fields.is_text(number)) found = fields.text();
  return fields.bad() ? std::string_view() : found;
}

RpcResponseHead rpc_response_head(uint64_t call_id, uint32_t status, size_t result_bytes) {
  RpcResponseHead head;
  head.bytes[head.size++] = 0x08;
  put_varint(head, call_id);
  if (status != 0) {
    head.bytes[head.size++] = 0x10;
    put_varint(head, status);
  }
  if (result_bytes != 0) {
    head.bytes[head.size++] = 0x1a;
    put_varint(head, result_bytes);
  }
  return head;
}

}  // namespace raymesh::gateway
