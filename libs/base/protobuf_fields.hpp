// Protobuf's encoding (protobuf.dev/programming-guides/encoding) read where it lies, without making
// messages: for hot paths, and for looking at a stranger's bytes before a parser allocates for
// them. Values and views; any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace raymesh {

/// Walks over the fields of one message:
///   ProtobufFields fields(message);
///   while (fields.next()) if (fields.is_text(1)) use(fields.text());
class ProtobufFields {
 public:
  explicit ProtobufFields(std::string_view message) : rest_(message) {}

  /// The next field; false at the end, and for what is no message (then `bad`), groups among it.
  bool next();
  bool bad() const { return bad_; }

  /// Bytes, a text or a message.
  bool is_text(uint32_t number) const { return number_ == number && type_ == 2; }
  bool is_number(uint32_t number) const { return number_ == number && type_ == 0; }
  std::string_view text() const { return text_; }
  uint64_t value() const { return value_; }

 private:
  bool fail();
  bool skip(size_t bytes);
  bool varint(uint64_t& out);

  std::string_view rest_;
  std::string_view text_;
  uint64_t value_ = 0;
  uint32_t number_ = 0;
  uint8_t type_ = 0;
  bool bad_ = false;
};

/// How many fields the message has, counted no further than `most` + 1: two bytes are a field, for
/// which a parser takes a hundred. nullopt: it is no message.
std::optional<size_t> count_protobuf_fields(std::string_view message, size_t most);

}  // namespace raymesh
