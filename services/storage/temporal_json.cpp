#include "services/storage/temporal_json.hpp"

#include <cstdint>
#include <optional>

#include "libs/base/json_writer.hpp"

namespace raymesh::storage {
namespace {

struct Moment {
  int64_t year = 0;  // astronomical: 0 is 1 BC
  int month = 1;
  int day = 1;
  int64_t millis_of_day = 0;
};

constexpr int64_t kDayMillis = 86'400'000;

// Howard Hinnant's civil calendar algorithms (public domain description), for years of any sign.
int64_t days_from_civil(int64_t y, int m, int d) {
  y -= m <= 2;
  const int64_t era = (y >= 0 ? y : y - 399) / 400;
  const int64_t yoe = y - era * 400;
  const int64_t doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
  const int64_t doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
  return era * 146'097 + doe - 719'468;
}

void civil_from_days(int64_t days, Moment& out) {
  days += 719'468;
  const int64_t era = (days >= 0 ? days : days - 146'096) / 146'097;
  const int64_t doe = days - era * 146'097;
  const int64_t yoe = (doe - doe / 1'460 + doe / 36'524 - doe / 146'096) / 365;
  const int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
  const int64_t mp = (5 * doy + 2) / 153;
  out.day = static_cast<int>(doy - (153 * mp + 2) / 5 + 1);
  out.month = static_cast<int>(mp < 10 ? mp + 3 : mp - 9);
  out.year = yoe + era * 400 + (out.month <= 2);
}

// Takes digits off the front; nullopt when there are fewer than `least`.
std::optional<int64_t> take_digits(std::string_view& text, size_t least, size_t most) {
  int64_t value = 0;
  size_t n = 0;
  while (n < text.size() && n < most && text[n] >= '0' && text[n] <= '9') {
    value = value * 10 + (text[n++] - '0');
  }
  if (n < least) return std::nullopt;
  text.remove_prefix(n);
  return value;
}

bool take(std::string_view& text, char c) {
  if (text.empty() || text[0] != c) return false;
  text.remove_prefix(1);
  return true;
}

// "[+-]HH[:MM[:SS]]" in milliseconds.
std::optional<int64_t> take_offset(std::string_view& text) {
  if (text.empty() || (text[0] != '+' && text[0] != '-')) return 0;
  const int64_t sign = text[0] == '-' ? -1 : 1;
  text.remove_prefix(1);
  int64_t total = 0;
  int64_t unit = 3'600'000;
  do {
    const auto part = take_digits(text, 2, 2);
    if (!part) return std::nullopt;
    total += *part * unit;
    unit /= 60;
  } while (unit >= 1'000 && take(text, ':'));
  return sign * total;
}

bool take_date(std::string_view& text, Moment& out) {
  const auto year = take_digits(text, 4, 7);
  if (!year || !take(text, '-')) return false;
  const auto month = take_digits(text, 2, 2);
  if (!month || !take(text, '-')) return false;
  const auto day = take_digits(text, 2, 2);
  if (!day) return false;
  out.year = *year;
  out.month = static_cast<int>(*month);
  out.day = static_cast<int>(*day);
  return true;
}

bool take_time(std::string_view& text, Moment& out) {
  const auto hours = take_digits(text, 2, 2);
  if (!hours || !take(text, ':')) return false;
  const auto minutes = take_digits(text, 2, 2);
  if (!minutes || !take(text, ':')) return false;
  const auto seconds = take_digits(text, 2, 2);
  if (!seconds) return false;
  out.millis_of_day = ((*hours * 60 + *minutes) * 60 + *seconds) * 1'000;
  if (take(text, '.')) {
    int64_t unit = 100;
    size_t n = 0;
    for (; n < text.size() && text[n] >= '0' && text[n] <= '9'; ++n, unit /= 10) {
      out.millis_of_day += (text[n] - '0') * unit;
    }
    text.remove_prefix(n);
  }
  const auto offset = take_offset(text);
  if (!offset) return false;
  out.millis_of_day -= *offset;
  return true;
}

// " BC", then nothing more.
bool take_end(std::string_view text, Moment& out) {
  if (text == " BC") {
    out.year = 1 - out.year;
    return true;
  }
  return text.empty();
}

char* put_digits(char* p, int64_t value, int width) {
  for (int i = width - 1; i >= 0; --i, value /= 10) p[i] = static_cast<char>('0' + value % 10);
  return p + width;
}

void append_iso(std::string& out, Moment m) {
  if (m.millis_of_day < 0 || m.millis_of_day >= kDayMillis) {
    int64_t days = days_from_civil(m.year, m.month, m.day);
    int64_t carry = m.millis_of_day / kDayMillis;
    if (m.millis_of_day % kDayMillis < 0) --carry;
    m.millis_of_day -= carry * kDayMillis;
    civil_from_days(days + carry, m);
  }
  char buffer[40];
  char* p = buffer;
  *p++ = '"';
  if (m.year >= 0 && m.year <= 9'999) {
    p = put_digits(p, m.year, 4);
  } else {
    *p++ = m.year < 0 ? '-' : '+';
    const int64_t year = m.year < 0 ? -m.year : m.year;
    p = put_digits(p, year, year > 999'999 ? 7 : 6);  // dates reach further than ECMAScript's
  }
  *p++ = '-';
  p = put_digits(p, m.month, 2);
  *p++ = '-';
  p = put_digits(p, m.day, 2);
  *p++ = 'T';
  p = put_digits(p, m.millis_of_day / 3'600'000, 2);
  *p++ = ':';
  p = put_digits(p, m.millis_of_day / 60'000 % 60, 2);
  *p++ = ':';
  p = put_digits(p, m.millis_of_day / 1'000 % 60, 2);
  *p++ = '.';
  p = put_digits(p, m.millis_of_day % 1'000, 3);
  *p++ = 'Z';
  *p++ = '"';
  out.append(buffer, static_cast<size_t>(p - buffer));
}

}  // namespace

void append_date(std::string& out, std::string_view text) {
  Moment m;
  std::string_view rest = text;
  if (take_date(rest, m) && take_end(rest, m)) {
    append_iso(out, m);
  } else {
    json::append_string(out, text);
  }
}

void append_timestamp(std::string& out, std::string_view text) {
  Moment m;
  std::string_view rest = text;
  if (take_date(rest, m) && take(rest, ' ') && take_time(rest, m) && take_end(rest, m)) {
    append_iso(out, m);
  } else {
    json::append_string(out, text);
  }
}

}  // namespace raymesh::storage
