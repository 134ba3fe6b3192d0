// PostgreSQL's message format, protocol 3.0 (manual, chapter 55 "Frontend/Backend Protocol"): the
// few messages of the extended query protocol that the pipeline sends, and a reader that frames
// what comes back. libpq makes the connection, proves the password and does TLS; the statements
// bypass it, because libpq 15 sends one packet per Sync (PQpipelineSync flushes), asks for a
// RowDescription with every execution and copies every row (docs/adr/0005-own-pipeline-codec.md has
// the figures). Pure; any thread, each with its own objects.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace raymesh::pg {

inline uint16_t read_u16(const char* p) {
  const auto* b = reinterpret_cast<const unsigned char*>(p);
  return static_cast<uint16_t>(b[0] << 8 | b[1]);
}
inline uint32_t read_u32(const char* p) {
  const auto* b = reinterpret_cast<const unsigned char*>(p);
  return static_cast<uint32_t>(b[0]) << 24 | static_cast<uint32_t>(b[1]) << 16 |
         static_cast<uint32_t>(b[2]) << 8 | b[3];
}
void append_u16(std::string& out, uint16_t value);
void append_u32(std::string& out, uint32_t value);

/// The parameters of one statement in the form in which Parse and Bind carry them, so that the
/// thread that made the statement also encodes it. All values in text format.
class Parameters {
 public:
  static constexpr size_t kMaxCount = 65'535;  // the count is an Int16

  /// `type_oid` 0: PostgreSQL infers the type. nullopt is NULL. At most kMaxCount.
  void add(uint32_t type_oid, std::optional<std::string_view> text);

  size_t count() const { return types_.size() / 4; }
  /// Int32 per parameter.
  std::string_view types() const { return types_; }
  /// Int32 length and bytes per parameter.
  std::string_view values() const { return values_; }
  void reserve(size_t count, size_t bytes) {
    types_.reserve(count * 4);
    values_.reserve(bytes + count * 4);
  }

 private:
  std::string types_;
  std::string values_;
};

// Appenders of frontend messages. Names and SQL must not contain NUL bytes.
void append_parse(std::string& out, std::string_view name, std::string_view sql,
                  const Parameters& parameters);
void append_describe_statement(std::string& out, std::string_view name);
/// Bind of the unnamed portal; results in text format.
void append_bind(std::string& out, std::string_view name, const Parameters& parameters);
/// Execute of the unnamed portal, all rows.
void append_execute(std::string& out);
void append_close_statement(std::string& out, std::string_view name);
void append_sync(std::string& out);
/// Simple query: several statements, our own text only.
void append_query(std::string& out, std::string_view sql);
void append_terminate(std::string& out);

/// A field of a DataRow; data is nullptr for NULL. Points into the read buffer.
struct Field {
  const char* data = nullptr;
  size_t size = 0;
  bool is_null() const { return data == nullptr; }
  std::string_view text() const { return {data, size}; }
};

/// Splits the body of a DataRow. False when it is malformed.
bool parse_data_row(std::string_view body, std::vector<Field>& out);

struct ResultColumn {
  std::string name;
  uint32_t type_oid = 0;
};
/// Splits the body of a RowDescription. False when it is malformed.
bool parse_row_description(std::string_view body, std::vector<ResultColumn>& out);

/// The parts of ErrorResponse and NoticeResponse that we look at (manual 55.8).
struct ServerError {
  std::string severity;  // S or, when the server sends it, V: never translated
  std::string sqlstate;
  std::string message;
  std::string detail;
  std::string column;
  std::string constraint;
  bool is_fatal() const { return severity == "FATAL" || severity == "PANIC"; }
};
ServerError parse_error(std::string_view body);

/// The number of rows in a command tag: "INSERT 0 1", "UPDATE 3", "SELECT 5"; 0 for others.
uint64_t parse_affected(std::string_view tag);

/// Cuts a byte stream into messages. Memory is bounded: a message whose body is longer than
/// `max_body` is skipped as it arrives and then reported with only its type and `oversized`.
class MessageReader {
 public:
  struct Message {
    char type = 0;
    std::string_view body;  // valid until the next prepare()
    bool oversized = false;
  };
  enum class Next { kMessage, kNeedMore, kMalformed };

  explicit MessageReader(size_t max_body) : max_body_(max_body) {}

  /// Room for at least `n` more bytes; what messages point to becomes invalid.
  std::span<char> prepare(size_t n);
  /// `n` bytes were put into what prepare() gave.
  void commit(size_t n) { end_ += n; }
  Next next(Message& out);
  /// Gives the buffer back when nothing is in it and it is larger than `keep` bytes.
  void release_above(size_t keep);

 private:
  size_t max_body_;
  std::vector<char> buffer_;
  size_t begin_ = 0;
  size_t end_ = 0;
  size_t skip_ = 0;  // bytes of an oversized message that are still to come
  char skipped_type_ = 0;
};

}  // namespace raymesh::pg
