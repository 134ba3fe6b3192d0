// What the two load tools share: time, a latency histogram, CPU and memory of the servers under
// test, non-blocking loopback sockets, and strict command-line parsing. Single-threaded unless it
// says otherwise.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace raymesh::bench {

/// Prints the reason and ends with status 2: a load tool that guesses would report wrong numbers.
[[noreturn]] void fail(const std::string& why);

int64_t now_ns();

/// Latencies in nanoseconds, 64 buckets per power of two: every percentile is at most 1.6 % too
/// high.
class LatencyHistogram {
 public:
  void record(int64_t ns);
  void clear();
  void merge(const LatencyHistogram& other);
  uint64_t count() const { return count_; }
  /// Microseconds below which the fraction `q` of all values lies.
  double percentile_us(double q) const;
  /// {"p50":..,"p90":..,"p99":..,"p999":..,"max":..} in microseconds.
  std::string json() const;

 private:
  static constexpr int kSubBits = 6;
  static size_t bucket_of(uint64_t ns);
  static uint64_t upper_bound_of(size_t bucket);
  std::array<uint64_t, (64 - kSubBits + 1) << kSubBits> buckets_{};
  uint64_t count_ = 0;
  int64_t max_ = 0;
};

/// CPU time and resident memory of some processes and everything they started.
struct Usage {
  double cpu_seconds = 0;  // user + system, with reaped children
  double user_seconds = 0;
  double machine_seconds = 0;  // of all processes: shows who else was busy
  uint64_t resident_kib = 0;
};
Usage usage_of(const std::vector<int>& pids);
double own_cpu_seconds();
double thread_cpu_seconds();  // of the calling thread

/// A non-blocking TCP connection to 127.0.0.0/8; any other address is refused, on purpose.
int connect_loopback(const std::string& host, int port);

struct Target {
  std::string host;
  int port = 0;
  std::string path;
};
/// scheme://host[:port][/path]
Target parse_target(std::string_view url, std::string_view scheme);

/// `--name value`, `--flag`; names that were not declared are refused.
class Arguments {
 public:
  Arguments(int argc, char** argv, std::string_view usage, const std::vector<std::string>& valued,
            const std::vector<std::string>& flags);
  bool has(const std::string& name) const { return values_.count(name) != 0; }
  std::string text(const std::string& name, const std::string& fallback = "") const;
  int64_t integer(const std::string& name, int64_t fallback, int64_t min, int64_t max) const;
  std::vector<std::string> all(const std::string& name) const;
  /// Comma-separated.
  std::vector<int> pids(const std::string& name) const;

 private:
  std::map<std::string, std::vector<std::string>> values_;
};

std::vector<std::string> lines_of(const std::string& file);

}  // namespace raymesh::bench
