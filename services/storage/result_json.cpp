#include "services/storage/result_json.hpp"

#include <charconv>

#include "libs/base/encoding.hpp"
#include "libs/base/json_writer.hpp"
#include "services/storage/temporal_json.hpp"

namespace raymesh::storage {
namespace {

// Number.MAX_SAFE_INTEGER
constexpr int64_t kMaxSafeInteger = (int64_t{1} << 53) - 1;
// PostgreSQL's MAXDIM.
constexpr int kMaxArrayDepth = 6;

// The element type of the built-in array types, for results of statements whose table has changed
// under us. From pg_type.dat.
uint32_t builtin_element(uint32_t array_oid) {
  switch (array_oid) {
    case 1000:
      return oid::kBool;
    case 1001:
      return oid::kBytea;
    case 1005:
      return oid::kInt2;
    case 1007:
      return oid::kInt4;
    case 1016:
      return oid::kInt8;
    case 1021:
      return oid::kFloat4;
    case 1022:
      return oid::kFloat8;
    case 1028:
      return oid::kOid;
    case 1115:
      return oid::kTimestamp;
    case 1182:
      return oid::kDate;
    case 1185:
      return oid::kTimestamptz;
    case 199:
      return oid::kJson;
    case 3807:
      return oid::kJsonb;
    // Written as strings, whatever they are.
    case 1002:  // char
    case 1003:  // name
    case 1009:  // text
    case 1014:  // bpchar
    case 1015:  // varchar
    case 1183:  // time
    case 1187:  // interval
    case 1231:  // numeric
    case 1270:  // timetz
    case 2951:  // uuid
    case 1041:  // inet
    case 651:   // cidr
    case 1040:  // macaddr
    case 143:   // xml
    case 791:   // money
      return oid::kText;
    default:
      return 0;
  }
}

uint32_t element_of(uint32_t type_oid, const TableInfo& table) {
  for (const Column& column : table.columns) {
    if (column.type_oid == type_oid) return column.element_oid;
  }
  return builtin_element(type_oid);
}

// PostgreSQL's integers are just that; anything else (a statement that was replaced behind our
// back) must not get out as if it were JSON.
void append_integer(std::string& out, std::string_view text) {
  const size_t sign = !text.empty() && text[0] == '-' ? 1 : 0;
  const bool is_integer = text.size() > sign && (text[sign] != '0' || text.size() == 1) &&
                          text.find_first_not_of("0123456789", sign) == std::string_view::npos;
  if (is_integer) {
    out += text;
  } else {
    json::append_string(out, text);
  }
}

bool starts_number(std::string_view text) {
  const size_t sign = !text.empty() && text[0] == '-' ? 1 : 0;
  return text.size() > sign && text[sign] >= '0' && text[sign] <= '9';
}

void append_int8(std::string& out, std::string_view text) {
  int64_t value = 0;
  auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), value);
  const bool is_whole = ec == std::errc() && end == text.data() + text.size();
  if (is_whole && value <= kMaxSafeInteger && value >= -kMaxSafeInteger) {
    json::append_int(out, value);
  } else {
    json::append_string(out, text);
  }
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// Both output formats (manual 8.4): code of the project may have changed bytea_output.
std::string decode_bytea(std::string_view text) {
  std::string bytes;
  if (text.starts_with("\\x")) {
    bytes.reserve(text.size() / 2);
    for (size_t i = 2; i + 1 < text.size(); i += 2) {
      bytes += static_cast<char>(hex_digit(text[i]) << 4 | hex_digit(text[i + 1]));
    }
    return bytes;
  }
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\') {
      bytes += text[i];
    } else if (i + 3 < text.size() && text[i + 1] != '\\') {
      bytes += static_cast<char>((text[i + 1] - '0') << 6 | (text[i + 2] - '0') << 3 |
                                 (text[i + 3] - '0'));
      i += 3;
    } else {
      bytes += '\\';
      ++i;
    }
  }
  return bytes;
}

void append_scalar(std::string& out, JsonForm form, std::string_view text) {
  switch (form) {
    case JsonForm::kNumber:
      append_integer(out, text);
      return;
    case JsonForm::kInt8:
      append_int8(out, text);
      return;
    case JsonForm::kFloat:  // NaN and the infinities have no JSON
      out += starts_number(text) ? text : std::string_view("null");
      return;
    case JsonForm::kBool:
      out += text == "t" ? "true" : "false";
      return;
    case JsonForm::kJson:
      out += text;
      return;
    case JsonForm::kDate:
      append_date(out, text);
      return;
    case JsonForm::kTimestamp:
      append_timestamp(out, text);
      return;
    case JsonForm::kBytea:
      out += '"';
      out += base64_encode(decode_bytea(text));
      out += '"';
      return;
    case JsonForm::kString:
      json::append_string(out, text);
      return;
  }
}

// PostgreSQL's array text (manual 8.15.6): {1,NULL,"a \"b\"",{...}}, perhaps with bounds "[0:1]=".
class ArrayText {
 public:
  ArrayText(std::string& out, JsonForm form, std::string_view text)
      : out_(out), form_(form), text_(text) {}

  /// False when the text is no array (the caller then writes it as a string).
  bool append() {
    if (!text_.empty() && text_[0] == '[') {
      const size_t equals = text_.find('=');
      if (equals == std::string_view::npos) return false;
      at_ = equals + 1;
    }
    return array(0) && at_ == text_.size();
  }

 private:
  bool array(int depth) {
    if (depth >= kMaxArrayDepth || !take('{')) return false;
    out_ += '[';
    if (take('}')) {
      out_ += ']';
      return true;
    }
    do {
      if (at_ >= text_.size()) return false;
      if (text_[at_] == '{') {
        if (!array(depth + 1)) return false;
      } else if (!element()) {
        return false;
      }
      if (take('}')) {
        out_ += ']';
        return true;
      }
      out_ += ',';
    } while (take(','));
    return false;
  }

  bool element() {
    if (text_[at_] == '"') return quoted_element();
    const size_t begin = at_;
    while (at_ < text_.size() && text_[at_] != ',' && text_[at_] != '}') ++at_;
    const std::string_view value = text_.substr(begin, at_ - begin);
    if (value == "NULL") {
      out_ += "null";
    } else {
      append_scalar(out_, form_, value);
    }
    return at_ < text_.size();
  }

  bool quoted_element() {
    scratch_.clear();
    for (++at_; at_ < text_.size() && text_[at_] != '"'; ++at_) {
      if (text_[at_] == '\\' && at_ + 1 < text_.size()) ++at_;
      scratch_ += text_[at_];
    }
    if (!take('"')) return false;
    append_scalar(out_, form_, scratch_);
    return true;
  }

  bool take(char c) {
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }

  std::string& out_;
  const JsonForm form_;
  const std::string_view text_;
  size_t at_ = 0;
  std::string scratch_;
};

}  // namespace

JsonForm json_form(uint32_t type_oid) {
  switch (type_oid) {
    case oid::kInt2:
    case oid::kInt4:
    case oid::kOid:
      return JsonForm::kNumber;
    case oid::kInt8:
      return JsonForm::kInt8;
    case oid::kFloat4:
    case oid::kFloat8:
      return JsonForm::kFloat;
    case oid::kBool:
      return JsonForm::kBool;
    case oid::kJson:
    case oid::kJsonb:
      return JsonForm::kJson;
    case oid::kDate:
      return JsonForm::kDate;
    case oid::kTimestamp:
    case oid::kTimestamptz:
      return JsonForm::kTimestamp;
    case oid::kBytea:
      return JsonForm::kBytea;
    default:
      return JsonForm::kString;
  }
}

RowPlan make_row_plan(std::span<const pg::ResultColumn> columns, const TableInfo& table) {
  RowPlan plan;
  for (const pg::ResultColumn& column : columns) {
    if (column.name == "id") plan.id_column = static_cast<int>(plan.columns.size());
    ColumnPlan& out = plan.columns.emplace_back();
    json::append_string(out.key, column.name);
    out.key += ':';
    const uint32_t element = element_of(column.type_oid, table);
    out.is_array = element != 0;
    out.form = json_form(out.is_array ? element : column.type_oid);
  }
  return plan;
}

void append_row(std::string& out, const RowPlan& plan, std::span<const pg::Field> fields) {
  out += '{';
  for (size_t i = 0; i < plan.columns.size(); ++i) {
    if (i > 0) out += ',';
    out += plan.columns[i].key;
    append_value(out, plan.columns[i], fields[i]);
  }
  out += '}';
}

void append_value(std::string& out, const ColumnPlan& column, const pg::Field& field) {
  if (field.is_null()) {
    out += "null";
    return;
  }
  if (!column.is_array) {
    append_scalar(out, column.form, field.text());
    return;
  }
  const size_t before = out.size();
  if (!ArrayText(out, column.form, field.text()).append()) {
    out.resize(before);
    json::append_string(out, field.text());
  }
}

}  // namespace raymesh::storage
