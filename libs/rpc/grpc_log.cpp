#include "libs/rpc/grpc_log.hpp"

#include <grpc/support/log.h>

#include <mutex>

#include "libs/rpc/call.hpp"
#include "libs/telemetry/log.hpp"

namespace raymesh::rpc {
namespace {

constexpr int kLinesPerSecond = 10;

void write_line(gpr_log_func_args* line) {
  static std::mutex mutex;
  static Clock::time_point second;
  static int lines = 0;
  static int64_t dropped = 0;
  int64_t dropped_before = 0;
  {
    std::lock_guard lock(mutex);
    const auto now = Clock::now();
    if (now - second > std::chrono::seconds(1)) {
      second = now;
      lines = 0;
    }
    if (++lines > kLinesPerSecond) {
      ++dropped;
      return;
    }
    dropped_before = std::exchange(dropped, 0);
  }
  log::warn("grpc", {{"text", line->message}, {"dropped_before", dropped_before}});
}

}  // namespace

void route_grpc_log() {
  static std::once_flag once;
  std::call_once(once, [] {
    gpr_set_log_verbosity(GPR_LOG_SEVERITY_ERROR);
    gpr_set_log_function(write_line);
  });
}

}  // namespace raymesh::rpc
