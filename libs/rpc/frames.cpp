#include "libs/rpc/frames.hpp"

#include <algorithm>
#include <cstring>

#include "libs/rpc/error_wire.hpp"
#include "raymesh/common/v1/calls.pb.h"

namespace raymesh::rpc::frames {
namespace {

size_t varint_size(uint64_t value) {
  size_t n = 1;
  while (value >= 0x80) {
    value >>= 7;
    ++n;
  }
  return n;
}

size_t bytes_field_size(size_t size) {
  return 1 + varint_size(size) + size;
}

// Writes where room was made before: a frame is one growth of its batch.
class Writer {
 public:
  Writer(std::string& out, size_t size) {
    const size_t before = out.size();
    out.resize(before + size);
    at_ = out.data() + before;
  }

  void varint(uint64_t value) {
    while (value >= 0x80) {
      *at_++ = static_cast<char>(value | 0x80);
      value >>= 7;
    }
    *at_++ = static_cast<char>(value);
  }
  void text(std::string_view bytes) { at_ = std::copy(bytes.begin(), bytes.end(), at_); }
  void bytes_head(uint32_t number, size_t size) {
    varint((number << 3) | 2);
    varint(size);
  }
  void bytes_field(uint32_t number, std::string_view bytes) {
    bytes_head(number, bytes.size());
    text(bytes);
  }
  void varint_field(uint32_t number, uint64_t value) {
    varint(number << 3);
    varint(value);
  }

 private:
  char* at_;
};

// A writer for a frame that has written everything before its body.
Writer begin_frame(std::string& out, uint64_t id, uint32_t field, size_t body_size) {
  const size_t frame_size = 1 + varint_size(id) + bytes_field_size(body_size);
  Writer writer(out, bytes_field_size(frame_size));
  writer.bytes_head(1, frame_size);  // Batch.frames
  writer.varint_field(1, id);
  writer.bytes_head(field, body_size);
  return writer;
}

}  // namespace

void append_varint(std::string& out, uint64_t value) {
  char buffer[10];
  size_t n = 0;
  while (value >= 0x80) {
    buffer[n++] = static_cast<char>(value | 0x80);
    value >>= 7;
  }
  buffer[n++] = static_cast<char>(value);
  out.append(buffer, n);
}

void append_frame(std::string& out, uint64_t id, uint32_t field, std::string_view body) {
  begin_frame(out, id, field, body.size()).text(body);
}

void append_chunk(std::string& out, uint64_t id, std::string_view payload, bool more) {
  Writer writer = begin_frame(out, id, kChunk, bytes_field_size(payload.size()) + (more ? 2 : 0));
  writer.bytes_field(1, payload);
  if (more) writer.varint_field(2, 1);
}

void append_credit(std::string& out, uint64_t id, uint32_t bytes) {
  begin_frame(out, id, kCredit, 1 + varint_size(bytes)).varint_field(1, bytes);
}

void append_error(std::string& out, uint64_t id, const Error& error) {
  append_frame(out, id, kError, error_to_proto(error).SerializeAsString());
}

bool Reader::malformed() {
  ok_ = false;
  return false;
}

bool Reader::varint(uint64_t& value) {
  value = 0;
  for (unsigned shift = 0; shift < 64 && at_ != end_; shift += 7) {
    const auto byte = static_cast<uint8_t>(*at_++);
    value |= static_cast<uint64_t>(byte & 0x7f) << shift;
    if (byte < 0x80) return true;
  }
  return false;
}

bool Reader::next(Field& field) {
  if (at_ == end_ || !ok_) return false;
  uint64_t tag = 0;
  if (!varint(tag) || (tag >> 3) == 0 || (tag >> 3) > 0x1fffffff) return malformed();
  field.number = static_cast<uint32_t>(tag >> 3);
  field.value = 0;
  field.bytes = {};
  const auto left = [this] { return static_cast<size_t>(end_ - at_); };
  switch (tag & 7) {
    case 0:
      return varint(field.value) || malformed();
    case 1:
      if (left() < 8) return malformed();
      std::memcpy(&field.value, at_, 8);
      at_ += 8;
      return true;
    case 2: {
      uint64_t size = 0;
      if (!varint(size) || size > left()) return malformed();
      field.bytes = {at_, static_cast<size_t>(size)};
      at_ += size;
      return true;
    }
    case 5:
      if (left() < 4) return malformed();
      std::memcpy(&field.value, at_, 4);
      at_ += 4;
      return true;
    default:
      return malformed();
  }
}

bool parse_frame(std::string_view bytes, Frame& out) {
  out = {};
  Reader reader(bytes);
  for (Field f; reader.next(f);) {
    if (f.number == 1) {
      out.id = f.value;
    } else {
      out.field = f.number;
      out.body = f.bytes;
    }
  }
  return reader.ok();
}

bool parse_chunk(std::string_view body, ChunkBody& out) {
  out = {};
  Reader reader(body);
  for (Field f; reader.next(f);) {
    if (f.number == 1) out.payload = f.bytes;
    if (f.number == 2) out.more = f.value != 0;
  }
  return reader.ok();
}

bool parse_credit(std::string_view body, uint32_t& bytes) {
  bytes = 0;
  Reader reader(body);
  for (Field f; reader.next(f);)
    if (f.number == 1) bytes = static_cast<uint32_t>(f.value);
  return reader.ok();
}

Error parse_error(std::string_view body) {
  common::v1::Error proto;
  if (!proto.ParseFromArray(body.data(), static_cast<int>(body.size())))
    return Error(errors::kInternal, "the service sent an error that does not parse");
  return error_from_proto(proto);
}

void append_context(std::string& out, const ContextBody& c) {
  const std::string_view texts[] = {c.project,     c.user,       c.session,
                                    c.traceparent, c.request_id, c.client_address};
  size_t size = 0;
  for (std::string_view text : texts) size += text.empty() ? 0 : bytes_field_size(text.size());
  Writer writer(out, size);
  uint32_t number = 0;
  for (std::string_view text : texts) {
    ++number;
    if (!text.empty()) writer.bytes_field(number, text);
  }
}

bool parse_context(std::string_view body, ContextBody& out) {
  out = {};
  Reader reader(body);
  for (Field f; reader.next(f);) {
    switch (f.number) {
      case 1:
        out.project = f.bytes;
        break;
      case 2:
        out.user = f.bytes;
        break;
      case 3:
        out.session = f.bytes;
        break;
      case 4:
        out.traceparent = f.bytes;
        break;
      case 5:
        out.request_id = f.bytes;
        break;
      case 6:
        out.client_address = f.bytes;
        break;
      default:
        break;
    }
  }
  return reader.ok();
}

bool parse_call(std::string_view body, CallBody& out) {
  out = {};
  Reader reader(body);
  for (Field f; reader.next(f);) {
    switch (f.number) {
      case 1:
        out.method = f.bytes;
        break;
      case 2:
        out.timeout_ms = static_cast<uint32_t>(f.value);
        break;
      case 3:
        if (!parse_context(f.bytes, out.context)) return false;
        break;
      case 4:
        out.payload = f.bytes;
        break;
      case 5:
        out.more = f.value != 0;
        break;
      case 6:
        out.credit = static_cast<uint32_t>(f.value);
        break;
      default:
        break;
    }
  }
  return reader.ok();
}

void append_call(std::string& out, uint64_t id, const CallParts& call) {
  Writer writer = begin_frame(
      out, id, kCall,
      bytes_field_size(call.method.size()) + 1 + varint_size(call.timeout_ms) +
          bytes_field_size(call.context.size()) + bytes_field_size(call.payload.size()) +
          (call.more ? 2 : 0) + 1 + varint_size(call.credit));
  writer.bytes_field(1, call.method);
  writer.varint_field(2, call.timeout_ms);
  writer.bytes_field(3, call.context);
  writer.bytes_field(4, call.payload);
  if (call.more) writer.varint_field(5, 1);
  writer.varint_field(6, call.credit);
}

}  // namespace raymesh::rpc::frames
