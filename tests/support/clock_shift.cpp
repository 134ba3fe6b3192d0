// A library for LD_PRELOAD that shifts the wall clock of one process: the file that
// CLOCK_SHIFT_FILE names holds the milliseconds to add, as a 64-bit integer in the machine's order,
// and may be written at any time. The monotonic clock stays as it is, as it does when somebody sets
// the clock of a machine. For tests only; every thread of the process may call it.
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <ctime>

namespace {

using ClockGettime = int (*)(clockid_t, timespec*);
ClockGettime real_clock_gettime = nullptr;
const volatile std::int64_t* shift_ms = nullptr;

__attribute__((constructor)) void begin() {
  if (real_clock_gettime != nullptr) return;
  real_clock_gettime = reinterpret_cast<ClockGettime>(dlsym(RTLD_NEXT, "clock_gettime"));
  const char* path = std::getenv("CLOCK_SHIFT_FILE");
  const int file = path != nullptr ? open(path, O_RDONLY | O_CLOEXEC) : -1;
  if (file < 0) return;
  void* page = mmap(nullptr, sizeof(std::int64_t), PROT_READ, MAP_SHARED, file, 0);
  close(file);
  if (page != MAP_FAILED) shift_ms = static_cast<const volatile std::int64_t*>(page);
}

}  // namespace

extern "C" {

int clock_gettime(clockid_t clock, timespec* now) noexcept {
  begin();
  const int result = real_clock_gettime(clock, now);
  if (result != 0 || shift_ms == nullptr ||
      (clock != CLOCK_REALTIME && clock != CLOCK_REALTIME_COARSE))
    return result;
  constexpr std::int64_t kSecond = 1'000'000'000;
  const std::int64_t ns = now->tv_sec * kSecond + now->tv_nsec + *shift_ms * 1'000'000;
  now->tv_sec = ns / kSecond;
  now->tv_nsec = ns % kSecond;
  return 0;
}

int gettimeofday(timeval* now, void* /*zone*/) noexcept {
  timespec exact{};
  const int result = clock_gettime(CLOCK_REALTIME, &exact);
  now->tv_sec = exact.tv_sec;
  now->tv_usec = exact.tv_nsec / 1000;
  return result;
}

time_t time(time_t* out) noexcept {
  timespec exact{};
  clock_gettime(CLOCK_REALTIME, &exact);
  if (out != nullptr) *out = exact.tv_sec;
  return exact.tv_sec;
}

}  // extern "C"
