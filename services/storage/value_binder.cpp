#include "services/storage/value_binder.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>

#include "libs/base/encoding.hpp"

namespace raymesh::storage {
namespace {

/// PostgreSQL's MAXDIM.
constexpr int kMaxArrayDimensions = 6;

/// The range of ECMAScript's Date, well inside PostgreSQL's.
constexpr double kMaxEpochMilliseconds = 8.64e15;

/// What to do with a value; each row of the table in the header.
enum class Binding { kText, kInteger, kNumber, kBool, kMoment, kJson, kBytea, kOther };

Binding binding_of(uint32_t type, char category) {
  switch (type) {
    case oid::kBool:
      return Binding::kBool;
    case oid::kInt2:
    case oid::kInt4:
    case oid::kInt8:
      return Binding::kInteger;
    case oid::kDate:
    case oid::kTimestamp:
    case oid::kTimestamptz:
      return Binding::kMoment;
    case oid::kJson:
    case oid::kJsonb:
      return Binding::kJson;
    case oid::kBytea:
      return Binding::kBytea;
    default:
      break;
  }
  if (category == 'S') return Binding::kText;
  if (category == 'N') return Binding::kNumber;
  return Binding::kOther;
}

Error refuse(const Column& column, std::string_view why) {
  return Error(errors::kInvalidValue, "Column \"" + column.name + "\" " + std::string(why));
}

Error refuse_kind(const Column& column, const JsonValue& value) {
  return refuse(column, "does not take " + std::string(describe(value.kind())));
}

std::optional<double> to_double(std::string_view number) {
  double value = 0;
  auto [end, ec] = std::from_chars(number.data(), number.data() + number.size(), value);
  if (ec != std::errc() || end != number.data() + number.size()) return std::nullopt;
  return value;
}

/// The digits of an integral JSON number, exact where it was written with digits alone or with
/// zeros behind the point; nullopt for a fraction.
std::optional<std::string> integer_text(std::string_view number) {
  const size_t mark = number.find_first_of(".eE");
  if (mark == std::string_view::npos) return std::string(number);
  if (number[mark] == '.' && number.find_first_not_of('0', mark + 1) == std::string_view::npos) {
    return std::string(number.substr(0, mark));
  }
  const std::optional<double> value = to_double(number);
  // Beyond 1e19 no integer type could hold it; PostgreSQL then says so.
  if (!value || std::trunc(*value) != *value || std::fabs(*value) > 1e20) return std::nullopt;
  std::array<char, 32> text{};
  const int length = std::snprintf(text.data(), text.size(), "%.0f", *value);
  return std::string(text.data(), static_cast<size_t>(length));
}

/// Days since 1970-01-01 to a date of the proleptic Gregorian calendar (Howard Hinnant,
/// "chrono-Compatible Low-Level Date Algorithms", civil_from_days).
struct CivilDate {
  int64_t year;
  unsigned month;
  unsigned day;
};
CivilDate civil_from_days(int64_t days) {
  days += 719468;
  const int64_t era = (days >= 0 ? days : days - 146096) / 146097;
  const auto day_of_era = static_cast<unsigned>(days - era * 146097);
  const unsigned year_of_era =
      (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
  const unsigned day_of_year =
      day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  const unsigned shifted_month = (5 * day_of_year + 2) / 153;
  const unsigned month = shifted_month < 10 ? shifted_month + 3 : shifted_month - 9;
  return {static_cast<int64_t>(year_of_era) + era * 400 + (month <= 2 ? 1 : 0), month,
          day_of_year - (153 * shifted_month + 2) / 5 + 1};
}

/// "2024-02-29 12:00:00.000+00", with " BC" for years before 1.
std::string timestamp_text(int64_t milliseconds) {
  constexpr int64_t kDay = 86'400'000;
  int64_t days = milliseconds / kDay;
  int64_t rest = milliseconds % kDay;
  if (rest < 0) {
    rest += kDay;
    --days;
  }
  const CivilDate date = civil_from_days(days);
  const bool is_bc = date.year <= 0;
  std::array<char, 64> text{};
  const int length = std::snprintf(
      text.data(), text.size(), "%04lld-%02u-%02u %02d:%02d:%02d.%03d+00%s",
      static_cast<long long>(is_bc ? 1 - date.year : date.year), date.month, date.day,
      static_cast<int>(rest / 3'600'000), static_cast<int>(rest / 60'000 % 60),
      static_cast<int>(rest / 1000 % 60), static_cast<int>(rest % 1000), is_bc ? " BC" : "");
  return std::string(text.data(), static_cast<size_t>(length));
}

Status append_moment(std::string& out, const Column& column, const JsonValue& value) {
  const std::optional<double> milliseconds = to_double(value.raw());
  if (!milliseconds || std::fabs(*milliseconds) > kMaxEpochMilliseconds) {
    return refuse(column, "takes a number of milliseconds since 1970 between -8.64e15 and 8.64e15");
  }
  out += timestamp_text(static_cast<int64_t>(*milliseconds));
  return ok_status();
}

Status append_bool(std::string& out, const Column& column, const JsonValue& value) {
  static constexpr std::array<std::string_view, 6> kTrue = {"t", "true", "y", "yes", "on", "1"};
  static constexpr std::array<std::string_view, 6> kFalse = {"f", "false", "n", "no", "off", "0"};
  std::string scratch;
  std::string word;
  if (value.is(JsonKind::kString)) {
    word = value.text(scratch);
    // Locale-free: these words are ASCII.
    for (char& c : word) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  } else {
    word = value.raw();
  }
  if (std::find(kTrue.begin(), kTrue.end(), word) != kTrue.end()) {
    out += 't';
  } else if (std::find(kFalse.begin(), kFalse.end(), word) != kFalse.end()) {
    out += 'f';
  } else {
    return refuse(column, "takes true or false");
  }
  return ok_status();
}

void append_json(std::string& out, const JsonValue& value) {
  if (!value.is(JsonKind::kString)) {
    out += value.raw();
    return;
  }
  std::string scratch;
  const std::optional<JsonValue> inner = parse_json(value.text(scratch));
  out += inner ? inner->raw() : value.raw();
}

Status append_bytea(std::string& out, const Column& column, const JsonValue& value) {
  std::string scratch;
  const std::optional<std::string> bytes = base64_decode(value.text(scratch));
  if (!bytes) return refuse(column, "takes bytes as base64 with padding");
  out += "\\x";
  out += hex_encode(*bytes);
  return ok_status();
}

Status append_string(std::string& out, const Column& column, const JsonValue& value) {
  std::string scratch;
  const std::string_view text = value.text(scratch);
  if (text.find('\0') != std::string_view::npos) {
    return refuse(column, "does not take the character U+0000");
  }
  out += text;
  return ok_status();
}

/// A value that is not null, for a column or for the element of an array column.
Status append_scalar(std::string& out, const Column& column, Binding binding,
                     const JsonValue& value) {
  const JsonKind kind = value.kind();
  if (binding == Binding::kJson) {
    append_json(out, value);
    return ok_status();
  }
  if (kind == JsonKind::kArray || kind == JsonKind::kObject) return refuse_kind(column, value);
  if (binding == Binding::kBool) return append_bool(out, column, value);
  if (kind == JsonKind::kBool) return refuse_kind(column, value);
  if (kind == JsonKind::kString) {
    return binding == Binding::kBytea ? append_bytea(out, column, value)
                                      : append_string(out, column, value);
  }
  switch (binding) {
    case Binding::kText:
    case Binding::kNumber:
      out += value.raw();
      return ok_status();
    case Binding::kInteger: {
      const std::optional<std::string> digits = integer_text(value.raw());
      if (!digits) return refuse(column, "takes an integer");
      out += *digits;
      return ok_status();
    }
    case Binding::kMoment:
      return append_moment(out, column, value);
    default:
      return refuse_kind(column, value);
  }
}

/// Quotes an element of an array literal (PostgreSQL manual 8.15.6).
void append_quoted(std::string& out, std::string_view element) {
  out += '"';
  for (char c : element) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  out += '"';
}

Status append_array(std::string& out, const Column& column, Binding element, const JsonValue& array,
                    int dimension) {
  if (dimension > kMaxArrayDimensions) return refuse(column, "takes at most 6 array dimensions");
  out += '{';
  JsonMembers members(array);
  std::string text;
  for (bool first = true; members.next(); first = false) {
    if (!first) out += ',';
    const JsonValue value = members.value();
    // In an array of json only the outermost brackets are PostgreSQL's.
    if (value.is(JsonKind::kArray) && element != Binding::kJson) {
      RAYMESH_CHECK_OK(append_array(out, column, element, value, dimension + 1));
      continue;
    }
    if (value.is(JsonKind::kNull)) {
      out += "NULL";
      continue;
    }
    text.clear();
    RAYMESH_CHECK_OK(append_scalar(text, column, element, value));
    append_quoted(out, text);
  }
  out += '}';
  return ok_status();
}

}  // namespace

Result<std::optional<std::string>> bind_value(const Column& column, const JsonValue& value) {
  if (value.is(JsonKind::kNull)) return std::optional<std::string>();
  std::optional<std::string> out(std::in_place);
  if (!column.is_array()) {
    RAYMESH_CHECK_OK(
        append_scalar(*out, column, binding_of(column.type_oid, column.category), value));
  } else if (value.is(JsonKind::kArray)) {
    RAYMESH_CHECK_OK(append_array(
        *out, column, binding_of(column.element_oid, column.element_category), value, 1));
  } else if (value.is(JsonKind::kString)) {
    RAYMESH_CHECK_OK(append_string(*out, column, value));
  } else {
    return refuse_kind(column, value);
  }
  return out;
}

Result<std::string> bind_list(const Column& column, const JsonValue& list, size_t& budget) {
  const Binding binding = binding_of(column.type_oid, column.category);
  std::string out = "{";
  std::string text;
  JsonMembers members(list);
  for (bool first = true; members.next(); first = false) {
    if (budget == 0) return Error(errors::kInvalidFilter, "the filter has too many list members");
    --budget;
    if (!first) out += ',';
    const JsonValue value = members.value();
    if (value.is(JsonKind::kNull)) {
      out += "NULL";
      continue;
    }
    text.clear();
    RAYMESH_CHECK_OK(append_scalar(text, column, binding, value));
    append_quoted(out, text);
  }
  out += '}';
  return out;
}

bool is_fraction(const JsonValue& value) {
  return value.is(JsonKind::kNumber) && !integer_text(value.raw());
}

bool is_integer_type(uint32_t type_oid) {
  return type_oid == oid::kInt2 || type_oid == oid::kInt4 || type_oid == oid::kInt8;
}

}  // namespace raymesh::storage
