#include "bench/tools/load_support.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace raymesh::bench {

void fail(const std::string& why) {
  std::fprintf(stderr, "load tool: %s\n", why.c_str());
  std::exit(2);
}

int64_t now_ns() {
  timespec t{};
  clock_gettime(CLOCK_MONOTONIC, &t);
  return int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec;
}

size_t LatencyHistogram::bucket_of(uint64_t ns) {
  if (ns < (uint64_t{1} << kSubBits)) return ns;
  const int exponent = static_cast<int>(std::bit_width(ns)) - 1 - kSubBits;
  return (static_cast<size_t>(exponent + 1) << kSubBits) +
         ((ns >> exponent) & ((1u << kSubBits) - 1));
}

uint64_t LatencyHistogram::upper_bound_of(size_t bucket) {
  if (bucket < (size_t{1} << kSubBits)) return bucket;
  const size_t exponent = (bucket >> kSubBits) - 1;
  const uint64_t mantissa = (uint64_t{1} << kSubBits) + (bucket & ((1u << kSubBits) - 1));
  return ((mantissa + 1) << exponent) - 1;
}

void LatencyHistogram::record(int64_t ns) {
  ns = std::max<int64_t>(ns, 0);
  ++buckets_[bucket_of(static_cast<uint64_t>(ns))];
  ++count_;
  max_ = std::max(max_, ns);
}

void LatencyHistogram::clear() {
  *this = LatencyHistogram();
}

void LatencyHistogram::merge(const LatencyHistogram& other) {
  for (size_t i = 0; i < buckets_.size(); ++i) buckets_[i] += other.buckets_[i];
  count_ += other.count_;
  max_ = std::max(max_, other.max_);
}

double LatencyHistogram::percentile_us(double q) const {
  if (count_ == 0) return 0;
  const auto rank =
      std::max<uint64_t>(1, static_cast<uint64_t>(std::llround(q * static_cast<double>(count_))));
  uint64_t seen = 0;
  for (size_t i = 0; i < buckets_.size(); ++i) {
    seen += buckets_[i];
    if (seen >= rank)
      return static_cast<double>(
                 std::min<uint64_t>(upper_bound_of(i), static_cast<uint64_t>(max_))) /
             1e3;
  }
  return static_cast<double>(max_) / 1e3;
}

std::string LatencyHistogram::json() const {
  char text[192];
  std::snprintf(text, sizeof text, R"({"p50":%.1f,"p90":%.1f,"p99":%.1f,"p999":%.1f,"max":%.1f})",
                percentile_us(0.5), percentile_us(0.9), percentile_us(0.99), percentile_us(0.999),
                static_cast<double>(max_) / 1e3);
  return text;
}

namespace {

struct Process {
  int parent = 0;
  uint64_t user_ticks = 0;
  uint64_t ticks = 0;
  uint64_t resident_pages = 0;
};

std::map<int, Process> all_processes() {
  std::map<int, Process> found;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator("/proc", ignored)) {
    const std::string name = entry.path().filename();
    int pid = 0;
    if (std::from_chars(name.data(), name.data() + name.size(), pid).ec != std::errc() || pid <= 0)
      continue;
    std::ifstream file(entry.path() / "stat");
    std::string line;
    if (!std::getline(file, line)) continue;                      // it has ended
    std::istringstream fields(line.substr(line.rfind(')') + 2));  // proc(5): fields from 3 on
    std::vector<std::string> f;
    for (std::string word; fields >> word;) f.push_back(word);
    if (f.size() < 22) continue;
    Process p;
    p.parent = std::stoi(f[1]);
    p.user_ticks = std::stoull(f[11]) + std::stoull(f[13]);
    p.ticks = p.user_ticks + std::stoull(f[12]) + std::stoull(f[14]);
    p.resident_pages = std::stoull(f[21]);
    found.emplace(pid, p);
  }
  return found;
}

}  // namespace

Usage usage_of(const std::vector<int>& pids) {
  const auto processes = all_processes();
  const double tick = 1.0 / static_cast<double>(sysconf(_SC_CLK_TCK));
  auto belongs = [&](int pid) {
    for (int hops = 0; pid > 1 && hops < 64; ++hops) {
      if (std::find(pids.begin(), pids.end(), pid) != pids.end()) return true;
      auto it = processes.find(pid);
      if (it == processes.end()) return false;
      pid = it->second.parent;
    }
    return false;
  };
  for (int pid : pids)
    if (!processes.contains(pid)) fail("no process " + std::to_string(pid));
  Usage u;
  for (const auto& [pid, p] : processes) {
    u.machine_seconds += static_cast<double>(p.ticks) * tick;
    if (!belongs(pid)) continue;
    u.cpu_seconds += static_cast<double>(p.ticks) * tick;
    u.user_seconds += static_cast<double>(p.user_ticks) * tick;
    u.resident_kib += p.resident_pages * static_cast<uint64_t>(sysconf(_SC_PAGESIZE)) / 1024;
  }
  return u;
}

namespace {

double cpu_seconds(int who) {
  rusage u{};
  getrusage(who, &u);
  auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
  };
  return seconds(u.ru_utime) + seconds(u.ru_stime);
}

}  // namespace

double own_cpu_seconds() {
  return cpu_seconds(RUSAGE_SELF);
}

double thread_cpu_seconds() {
  return cpu_seconds(RUSAGE_THREAD);
}

int connect_loopback(const std::string& host, int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  const std::string numeric = host == "localhost" ? "127.0.0.1" : host;
  if (inet_pton(AF_INET, numeric.c_str(), &address.sin_addr) != 1 ||
      (ntohl(address.sin_addr.s_addr) >> 24) != 127)
    fail("only addresses in 127.0.0.0/8 are allowed, not '" + host + "'");
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) fail(std::string("socket: ") + std::strerror(errno));
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 &&
      errno != EINPROGRESS)
    fail("connect to " + host + ":" + std::to_string(port) + ": " + std::strerror(errno));
  return fd;
}

Target parse_target(std::string_view url, std::string_view scheme) {
  const std::string prefix = std::string(scheme) + "://";
  if (!url.starts_with(prefix)) fail("'" + std::string(url) + "' is not a " + prefix + " URL");
  url.remove_prefix(prefix.size());
  const size_t slash = std::min(url.find_first_of("/?"), url.size());
  std::string_view authority = url.substr(0, slash);
  Target t;
  t.path = slash == url.size() ? "/" : std::string(url.substr(slash));
  if (t.path[0] == '?') t.path.insert(0, "/");
  const size_t colon = authority.rfind(':');
  t.host = authority.substr(0, colon);
  t.port = 80;
  if (colon != std::string_view::npos) {
    std::string_view digits = authority.substr(colon + 1);
    if (std::from_chars(digits.data(), digits.data() + digits.size(), t.port).ec != std::errc())
      fail("bad port in '" + std::string(authority) + "'");
  }
  return t;
}

Arguments::Arguments(int argc, char** argv, std::string_view usage,
                     const std::vector<std::string>& valued,
                     const std::vector<std::string>& flags) {
  auto known = [](const std::vector<std::string>& names, const std::string& name) {
    return std::find(names.begin(), names.end(), name) != names.end();
  };
  for (int i = 1; i < argc; ++i) {
    const std::string name = argv[i];
    if (name == "--help") {
      std::fwrite(usage.data(), 1, usage.size(), stdout);
      std::exit(0);
    }
    if (known(flags, name)) {
      values_[name].push_back("yes");
    } else if (!known(valued, name)) {
      fail("unknown option '" + name + "', see --help");
    } else if (i + 1 == argc) {
      fail(name + " needs a value");
    } else {
      values_[name].push_back(argv[++i]);
    }
  }
}

std::string Arguments::text(const std::string& name, const std::string& fallback) const {
  auto it = values_.find(name);
  return it == values_.end() ? fallback : it->second.back();
}

int64_t Arguments::integer(const std::string& name, int64_t fallback, int64_t min,
                           int64_t max) const {
  if (!has(name)) return fallback;
  const std::string value = text(name);
  int64_t n = 0;
  auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), n);
  if (error != std::errc() || end != value.data() + value.size() || n < min || n > max)
    fail(name + " takes a whole number from " + std::to_string(min) + " to " + std::to_string(max) +
         ", not '" + value + "'");
  return n;
}

std::vector<std::string> Arguments::all(const std::string& name) const {
  auto it = values_.find(name);
  return it == values_.end() ? std::vector<std::string>{} : it->second;
}

std::vector<int> Arguments::pids(const std::string& name) const {
  std::vector<int> result;
  std::istringstream list(text(name));
  for (std::string item; std::getline(list, item, ',');) result.push_back(std::stoi(item));
  return result;
}

std::vector<std::string> lines_of(const std::string& file) {
  std::ifstream in(file);
  if (!in) fail("cannot read " + file);
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);)
    if (!line.empty()) lines.push_back(line);
  if (lines.empty()) fail(file + " is empty");
  return lines;
}

}  // namespace raymesh::bench
