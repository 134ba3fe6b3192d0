// JSON log lines on standard error: {"ts","level","service","msg", ...fields}. Thread-safe, and no
// call ever waits for standard error: debug and info lines are collected and written by a
// background thread at most 100 ms later (or at 64 KiB), warnings and errors at once; when standard
// error does not take them, lines are dropped and counted. The thread sleeps while there is nothing
// to write. Never pass a password, a token, an API key or a request body: what identifies a secret
// is its id.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <type_traits>
#include <variant>

namespace raymesh::log {

enum class Level { kDebug, kInfo, kWarn, kError };

/// "debug", "info", "warn" or "error"; false for anything else.
bool parse_level(std::string_view text, Level& out);

struct Field {
  std::string_view key;
  std::variant<std::string_view, int64_t, double, bool> value;

  Field(std::string_view k, std::string_view v) : key(k), value(v) {}
  Field(std::string_view k, const std::string& v) : key(k), value(std::string_view(v)) {}
  Field(std::string_view k, const char* v) : key(k), value(std::string_view(v)) {}
  Field(std::string_view k, bool v) : key(k), value(v) {}
  Field(std::string_view k, double v) : key(k), value(v) {}
  template <class T>
  requires(std::is_integral_v<T> && !std::is_same_v<T, bool>) Field(std::string_view k, T v)
      : key(k), value(static_cast<int64_t>(v)) {}
};

/// Whom a line is about. Empty members are left out of the line.
struct Context {
  std::string_view project;
  std::string_view trace_id;    // 32 hex digits
  std::string_view request_id;  // as the client sees it in X-Request-Id
};

/// Once at start-up, before other threads (lines written earlier are written directly). `service`
/// stands in every line unless a field "service" is given. Collected lines are written when the
/// process exits, and as far as is safe when a fatal signal or std::terminate ends it.
void init(std::string service, Level level);
bool enabled(Level level);
void write(Level level, std::string_view message, std::initializer_list<Field> fields);
void write(Level level, const Context& context, std::string_view message,
           std::initializer_list<Field> fields);
/// Writes what has been collected; waits up to a second for standard error to take it.
void flush();
/// Lines that standard error did not take, since the process began.
uint64_t dropped_lines();

inline void debug(std::string_view m, std::initializer_list<Field> f = {}) {
  write(Level::kDebug, m, f);
}
inline void info(std::string_view m, std::initializer_list<Field> f = {}) {
  write(Level::kInfo, m, f);
}
inline void warn(std::string_view m, std::initializer_list<Field> f = {}) {
  write(Level::kWarn, m, f);
}
inline void error(std::string_view m, std::initializer_list<Field> f = {}) {
  write(Level::kError, m, f);
}
inline void debug(const Context& c, std::string_view m, std::initializer_list<Field> f = {}) {
  write(Level::kDebug, c, m, f);
}
inline void info(const Context& c, std::string_view m, std::initializer_list<Field> f = {}) {
  write(Level::kInfo, c, m, f);
}
inline void warn(const Context& c, std::string_view m, std::initializer_list<Field> f = {}) {
  write(Level::kWarn, c, m, f);
}
inline void error(const Context& c, std::string_view m, std::initializer_list<Field> f = {}) {
  write(Level::kError, c, m, f);
}

}  // namespace raymesh::log
