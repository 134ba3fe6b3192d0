#include "services/gateway/raystream_wire.hpp"

#include <cstddef>

namespace raymesh::gateway {
namespace {

constexpr size_t kMaxMetadata = 32;

// Protobuf's encoding (protobuf.dev/programming-guides/encoding): a reader that walks over the
// fields of one message.
class Fields {
 public:
  explicit Fields(std::string_view message) : rest_(message) {}

  /// The next field; false at the end, and for what is no message (then `bad`).
  bool next() {
    if (rest_.empty() || bad_) return false;
    uint64_t tag = 0;
    if (!varint(tag) || tag >> 3 == 0 || tag >> 3 > (1U << 29) - 1) return fail();
    number_ = static_cast<uint32_t>(tag >> 3);
    type_ = static_cast<uint8_t>(tag & 7);
    text_ = {};
    value_ = 0;
    switch (type_) {
      case 0:
        return varint(value_) || fail();
      case 1:
        return skip(8);
      case 2: {
        uint64_t size = 0;
        if (!varint(size) || size > rest_.size()) return fail();
        text_ = rest_.substr(0, static_cast<size_t>(size));
        rest_.remove_prefix(static_cast<size_t>(size));
        return true;
      }
      case 5:
        return skip(4);
      default:
        return fail();
    }
  }

  bool bad() const { return bad_; }
  bool is_text(uint32_t number) const { return number_ == number && type_ == 2; }
  bool is_number(uint32_t number) const { return number_ == number && type_ == 0; }
  std::string_view text() const { return text_; }
  uint64_t value() const { return value_; }

 private:
  bool fail() {
    bad_ = true;
    return false;
  }
  bool skip(size_t bytes) {
    if (rest_.size() < bytes) return fail();
    rest_.remove_prefix(bytes);
    return true;
  }
  bool varint(uint64_t& out) {
    out = 0;
    for (int shift = 0; shift < 64 && !rest_.empty(); shift += 7) {
      const auto byte = static_cast<uint8_t>(rest_.front());
      rest_.remove_prefix(1);
      out |= static_cast<uint64_t>(byte & 0x7f) << shift;
      if ((byte & 0x80) == 0) return true;
    }
    return false;
  }

  std::string_view rest_;
  std::string_view text_;
  uint64_t value_ = 0;
  uint32_t number_ = 0;
  uint8_t type_ = 0;
  bool bad_ = false;
};

bool take_metadata(std::string_view entry, CallFrame& out) {
  std::string_view key, value;
  Fields fields(entry);
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
  Fields fields(payload);
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

std::string_view text_field(std::string_view message, uint32_t number) {
  std::string_view found;
  Fields fields(message);
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
