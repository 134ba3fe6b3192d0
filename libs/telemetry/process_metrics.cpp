#include "libs/telemetry/process_metrics.hpp"

#include <dirent.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdio>
#include <ctime>

#include "libs/base/version.hpp"
#include "libs/telemetry/log.hpp"

namespace raymesh::metrics {
namespace {

double cpu_seconds() {
  timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) / 1e9;
}

// proc(5), /proc/pid/statm: size and resident, in pages.
double statm_bytes(int field) {
  long size = 0;
  long resident = 0;
  if (FILE* f = std::fopen("/proc/self/statm", "re")) {
    if (std::fscanf(f, "%ld %ld", &size, &resident) != 2) size = resident = 0;
    std::fclose(f);
  }
  return static_cast<double>(field == 0 ? size : resident) *
         static_cast<double>(sysconf(_SC_PAGESIZE));
}

double count_entries(const char* folder) {
  DIR* dir = opendir(folder);
  if (!dir) return 0;
  int n = 0;
  while (const dirent* entry = readdir(dir)) n += entry->d_name[0] != '.';
  closedir(dir);
  return n;
}

double open_fds() {
  return count_entries("/proc/self/fd") - 1;  // without the one that reads the folder
}

double max_fds() {
  rlimit limit;
  getrlimit(RLIMIT_NOFILE, &limit);
  return static_cast<double>(limit.rlim_cur);
}

double now_seconds() {
  timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) / 1e9;
}

}  // namespace

void add_process_metrics(Registry& registry) {
  registry.counter_function("process_cpu_seconds_total", "User and system CPU time", {},
                            cpu_seconds);
  registry.gauge_function("process_resident_memory_bytes", "Resident memory", {},
                          [] { return statm_bytes(1); });
  registry.gauge_function("process_virtual_memory_bytes", "Virtual memory", {},
                          [] { return statm_bytes(0); });
  registry.gauge_function("process_open_fds", "Open file descriptors", {}, open_fds);
  registry.gauge_function("process_max_fds", "Limit of open file descriptors", {}, max_fds);
  registry.gauge_function("process_threads", "Threads", {},
                          [] { return count_entries("/proc/self/task"); });
  registry.gauge_function("process_start_time_seconds", "When the process began, Unix time", {},
                          [start = now_seconds()] { return start; });
  registry.gauge_function("raymesh_build_info", "Always 1; the label tells the version",
                          {{"version", std::string(version())}}, [] { return 1.0; });
  registry.counter_function("raymesh_log_dropped_lines_total",
                            "Log lines that standard error did not take", {},
                            [] { return static_cast<double>(log::dropped_lines()); });
}

}  // namespace raymesh::metrics
