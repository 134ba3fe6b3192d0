#include "libs/pg/wire.hpp"

#include <algorithm>
#include <charconv>
#include <cstring>

namespace raymesh::pg {
namespace {

// Every message is a type byte and a length that counts itself and the body.
size_t begin_message(std::string& out, char type) {
  out += type;
  const size_t at = out.size();
  append_u32(out, 0);
  return at;
}

void end_message(std::string& out, size_t at) {
  const auto length = static_cast<uint32_t>(out.size() - at);
  const char bytes[4] = {static_cast<char>(length >> 24), static_cast<char>(length >> 16),
                         static_cast<char>(length >> 8), static_cast<char>(length)};
  std::memcpy(out.data() + at, bytes, 4);
}

void append_c_string(std::string& out, std::string_view text) {
  out += text;
  out += '\0';
}

void append_statement_message(std::string& out, char type, std::string_view name) {
  const size_t at = begin_message(out, type);
  out += 'S';
  append_c_string(out, name);
  end_message(out, at);
}

}  // namespace

void append_u16(std::string& out, uint16_t value) {
  const char bytes[2] = {static_cast<char>(value >> 8), static_cast<char>(value)};
  out.append(bytes, 2);
}

void append_u32(std::string& out, uint32_t value) {
  const char bytes[4] = {static_cast<char>(value >> 24), static_cast<char>(value >> 16),
                         static_cast<char>(value >> 8), static_cast<char>(value)};
  out.append(bytes, 4);
}

void Parameters::add(uint32_t type_oid, std::optional<std::string_view> text) {
  append_u32(types_, type_oid);
  append_u32(values_, text ? static_cast<uint32_t>(text->size()) : 0xffffffffu);
  if (text) values_ += *text;
}

void append_parse(std::string& out, std::string_view name, std::string_view sql,
                  const Parameters& parameters) {
  const size_t at = begin_message(out, 'P');
  append_c_string(out, name);
  append_c_string(out, sql);
  append_u16(out, static_cast<uint16_t>(parameters.count()));
  out += parameters.types();
  end_message(out, at);
}

void append_describe_statement(std::string& out, std::string_view name) {
  append_statement_message(out, 'D', name);
}

void append_bind(std::string& out, std::string_view name, const Parameters& parameters) {
  const size_t at = begin_message(out, 'B');
  append_c_string(out, "");  // portal
  append_c_string(out, name);
  append_u16(out, 0);  // no format codes: all text
  append_u16(out, static_cast<uint16_t>(parameters.count()));
  out += parameters.values();
  append_u16(out, 0);  // results: all text
  end_message(out, at);
}

void append_execute(std::string& out) {
  const size_t at = begin_message(out, 'E');
  append_c_string(out, "");  // portal
  append_u32(out, 0);        // no limit of rows
  end_message(out, at);
}

void append_close_statement(std::string& out, std::string_view name) {
  append_statement_message(out, 'C', name);
}

void append_sync(std::string& out) {
  end_message(out, begin_message(out, 'S'));
}

void append_query(std::string& out, std::string_view sql) {
  const size_t at = begin_message(out, 'Q');
  append_c_string(out, sql);
  end_message(out, at);
}

void append_terminate(std::string& out) {
  end_message(out, begin_message(out, 'X'));
}

bool parse_data_row(std::string_view body, std::vector<Field>& out) {
  out.clear();
  if (body.size() < 2) return false;
  const size_t count = read_u16(body.data());
  const char* p = body.data() + 2;
  const char* end = body.data() + body.size();
  for (size_t i = 0; i < count; ++i) {
    if (end - p < 4) return false;
    const auto length = static_cast<int32_t>(read_u32(p));
    p += 4;
    if (length < 0) {
      out.emplace_back();
      continue;
    }
    if (end - p < length) return false;
    out.push_back({p, static_cast<size_t>(length)});
    p += length;
  }
  return p == end;
}

bool parse_row_description(std::string_view body, std::vector<ResultColumn>& out) {
  // Per column: name, Int32 table, Int16 attribute, Int32 type, Int16 size, Int32 modifier, Int16
  // format.
  constexpr size_t kFixed = 18;
  out.clear();
  if (body.size() < 2) return false;
  const size_t count = read_u16(body.data());
  std::string_view rest = body.substr(2);
  for (size_t i = 0; i < count; ++i) {
    const size_t zero = rest.find('\0');
    if (zero == std::string_view::npos || rest.size() - zero - 1 < kFixed) return false;
    out.push_back({std::string(rest.substr(0, zero)), read_u32(rest.data() + zero + 7)});
    rest.remove_prefix(zero + 1 + kFixed);
  }
  return rest.empty();
}

ServerError parse_error(std::string_view body) {
  ServerError error;
  while (!body.empty() && body[0] != '\0') {
    const char code = body[0];
    body.remove_prefix(1);
    const size_t zero = body.find('\0');
    const std::string_view value = body.substr(0, zero);
    switch (code) {
      case 'V':
        error.severity = value;
        break;
      case 'C':
        error.sqlstate = value;
        break;
      case 'M':
        error.message = value;
        break;
      case 'D':
        error.detail = value;
        break;
      case 'c':
        error.column = value;
        break;
      case 'n':
        error.constraint = value;
        break;
      default:
        break;
    }
    if (zero == std::string_view::npos) break;
    body.remove_prefix(zero + 1);
  }
  return error;
}

uint64_t parse_affected(std::string_view tag) {
  const size_t space = tag.rfind(' ');
  uint64_t n = 0;
  if (space != std::string_view::npos) {
    std::from_chars(tag.data() + space + 1, tag.data() + tag.size(), n);
  }
  return n;
}

std::span<char> MessageReader::prepare(size_t n) {
  if (begin_ == end_) begin_ = end_ = 0;
  if (buffer_.size() - end_ < n) {
    if (begin_ > 0) {
      std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
      end_ -= begin_;
      begin_ = 0;
    }
    if (buffer_.size() - end_ < n) buffer_.resize(end_ + n);
  }
  return {buffer_.data() + end_, buffer_.size() - end_};
}

MessageReader::Next MessageReader::next(Message& out) {
  if (skip_ > 0) {
    const size_t here = std::min(skip_, end_ - begin_);
    begin_ += here;
    skip_ -= here;
    if (skip_ > 0) return Next::kNeedMore;
    out = {skipped_type_, {}, true};
    return Next::kMessage;
  }
  const size_t have = end_ - begin_;
  if (have < 5) return Next::kNeedMore;
  const char* p = buffer_.data() + begin_;
  const uint32_t length = read_u32(p + 1);
  if (length < 4 || length > 0x7fffffffu) return Next::kMalformed;
  if (length - 4 > max_body_) {
    skipped_type_ = p[0];
    begin_ += 5;
    skip_ = length - 4;
    return next(out);
  }
  if (have < length + 1) return Next::kNeedMore;
  out = {p[0], std::string_view(p + 5, length - 4), false};
  begin_ += length + 1;
  return Next::kMessage;
}

void MessageReader::release_above(size_t keep) {
  if (begin_ != end_ || buffer_.capacity() <= keep) return;
  begin_ = end_ = 0;
  std::vector<char>().swap(buffer_);
}

}  // namespace raymesh::pg
