#include "libs/base/protobuf_fields.hpp"

namespace raymesh {

bool ProtobufFields::next() {
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

bool ProtobufFields::fail() {
  bad_ = true;
  return false;
}

bool ProtobufFields::skip(size_t bytes) {
  if (rest_.size() < bytes) return fail();
  rest_.remove_prefix(bytes);
  return true;
}

bool ProtobufFields::varint(uint64_t& out) {
  out = 0;
  for (int shift = 0; shift < 64 && !rest_.empty(); shift += 7) {
    const auto byte = static_cast<uint8_t>(rest_.front());
    rest_.remove_prefix(1);
    out |= static_cast<uint64_t>(byte & 0x7f) << shift;
    if ((byte & 0x80) == 0) return true;
  }
  return false;
}

std::optional<size_t> count_protobuf_fields(std::string_view message, size_t most) {
  ProtobufFields fields(message);
  size_t count = 0;
  while (count <= most && fields.next()) ++count;
  if (fields.bad()) return std::nullopt;
  return count;
}

}  // namespace raymesh
