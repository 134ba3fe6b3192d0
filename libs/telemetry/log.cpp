#include "libs/telemetry/log.hpp"

#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <ctime>
#include <iterator>

#include "libs/base/json_writer.hpp"
#include "libs/telemetry/log_sink.hpp"

namespace raymesh::log {
namespace {

std::atomic<Level> g_level{Level::kInfo};

// Never destroyed: threads may still log while the process exits.
Sink& sink() {
  static auto* sink = new Sink(STDERR_FILENO);
  return *sink;
}
std::string& service_member() {
  static auto* text = new std::string(R"("service":"raymesh")");
  return *text;
}

std::string_view name_of(Level level) {
  switch (level) {
    case Level::kDebug:
      return "debug";
    case Level::kInfo:
      return "info";
    case Level::kWarn:
      return "warn";
    case Level::kError:
      return "error";
  }
  return "error";
}

// RFC 3339 in UTC with milliseconds. The part up to the second is formatted once a second and
// thread.
void append_timestamp(std::string& out) {
  thread_local time_t second = -1;
  thread_local char text[32];
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (now.tv_sec != second) {
    tm parts;
    gmtime_r(&now.tv_sec, &parts);
    std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S.", &parts);
    second = now.tv_sec;
  }
  out.append(text, 20);
  auto ms = static_cast<int>(now.tv_nsec / 1'000'000);
  out += static_cast<char>('0' + ms / 100);
  out += static_cast<char>('0' + ms / 10 % 10);
  out += static_cast<char>('0' + ms % 10);
  out += 'Z';
}

void append_member(std::string& out, std::string_view key, std::string_view text) {
  if (text.empty()) return;
  out += ',';
  json::append_string(out, key);
  out += ':';
  json::append_string(out, text);
}

struct AppendValue {
  std::string& out;
  void operator()(std::string_view v) const { json::append_string(out, v); }
  void operator()(int64_t v) const { json::append_int(out, v); }
  void operator()(double v) const { json::append_double(out, v); }
  void operator()(bool v) const { out += v ? "true" : "false"; }
};

void on_fatal_signal(int signal) {
  sink().write_in_signal_handler();
  // SA_RESETHAND has put the default action back: the process ends as it would have without us.
  ::raise(signal);
}

void install_crash_handlers() {
  for (int signal : {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL}) {
    struct sigaction old;
    // A sanitizer or debugger that has its own handler keeps it.
    if (sigaction(signal, nullptr, &old) != 0 || old.sa_handler != SIG_DFL) continue;
    struct sigaction action {};
    action.sa_handler = on_fatal_signal;
    action.sa_flags = static_cast<int>(SA_RESETHAND | SA_NODEFER);
    sigaction(signal, &action, nullptr);
  }
}

}  // namespace

bool parse_level(std::string_view text, Level& out) {
  for (Level level : {Level::kDebug, Level::kInfo, Level::kWarn, Level::kError}) {
    if (text == name_of(level)) {
      out = level;
      return true;
    }
  }
  return false;
}

void init(std::string service, Level level) {
  std::string member = "\"service\":";
  json::append_string(member, service);
  service_member() = std::move(member);
  g_level.store(level, std::memory_order_relaxed);
  static const bool kOnce = [] {
    sink().start_thread();
    install_crash_handlers();
    std::atexit([] { sink().flush(std::chrono::seconds(1)); });
    return true;
  }();
  (void)kOnce;
}

bool enabled(Level level) {
  return level >= g_level.load(std::memory_order_relaxed);
}

void write(Level level, const Context& context, std::string_view message,
           std::initializer_list<Field> fields) {
  if (!enabled(level)) return;
  thread_local std::string line;
  line.clear();
  line += R"({"ts":")";
  append_timestamp(line);
  line += R"(","level":")";
  line += name_of(level);
  line += "\",";
  const Field* service = nullptr;
  for (const Field& field : fields)
    if (field.key == "service") service = &field;
  if (service) {
    line += "\"service\":";
    std::visit(AppendValue{line}, service->value);
  } else {
    line += service_member();
  }
  line += ",\"msg\":";
  json::append_string(line, message);
  append_member(line, "project", context.project);
  append_member(line, "trace_id", context.trace_id);
  append_member(line, "request_id", context.request_id);
  for (const Field& field : fields) {
    if (&field == service) continue;
    line += ',';
    json::append_string(line, field.key);
    line += ':';
    std::visit(AppendValue{line}, field.value);
  }
  line += "}\n";
  sink().append(line, level >= Level::kWarn);
}

void write(Level level, std::string_view message, std::initializer_list<Field> fields) {
  write(level, Context{}, message, fields);
}

void flush() {
  sink().flush(std::chrono::seconds(1));
}

uint64_t dropped_lines() {
  return sink().dropped();
}

}  // namespace raymesh::log
