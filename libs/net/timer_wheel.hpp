// Coarse timeouts for very many connections: arming and disarming is relinking a list node, and one
// timer per thread drives them all, only while something is armed. A timeout fires up to one tick
// late, never early. Pure; one thread. WheelDriver connects a wheel to an io_context.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace raymesh::net {

/// A node of the wheel; the owner embeds or inherits it. Destroying it disarms it.
class WheelTimer {
 public:
  WheelTimer() = default;
  virtual ~WheelTimer() { disarm(); }
  WheelTimer(const WheelTimer&) = delete;
  WheelTimer& operator=(const WheelTimer&) = delete;

  bool armed() const { return next_ != nullptr; }
  void disarm();

 protected:
  /// Runs once per arming, disarmed; may arm again, and may destroy itself or other timers.
  virtual void on_timeout() = 0;

 private:
  friend class TimerWheel;
  WheelTimer* next_ = nullptr;
  WheelTimer* previous_ = nullptr;
  uint64_t due_ = 0;  // in ticks
  size_t* count_ = nullptr;
};

class TimerWheel {
 public:
  using Clock = std::chrono::steady_clock;

  TimerWheel(std::chrono::milliseconds tick, Clock::time_point now);
  /// Disarms what is still armed.
  ~TimerWheel();
  TimerWheel(const TimerWheel&) = delete;
  TimerWheel& operator=(const TimerWheel&) = delete;

  /// Fires after `delay`, counted from `now`; takes the place of an earlier arming.
  void arm(WheelTimer& timer, std::chrono::milliseconds delay, Clock::time_point now);
  /// Fires everything that is due.
  void advance(Clock::time_point now);
  size_t armed() const { return armed_; }
  std::chrono::milliseconds tick() const { return tick_; }

 private:
  struct Head final : WheelTimer {
    void on_timeout() override {}
  };
  static constexpr size_t kSlots = 256;

  uint64_t ticks(Clock::time_point t) const;
  static void link(WheelTimer& head, WheelTimer& timer);

  std::chrono::milliseconds tick_;
  Clock::time_point start_;
  uint64_t done_ = 0;  // every tick up to this one has fired
  size_t armed_ = 0;
  std::vector<Head> slots_;
};

}  // namespace raymesh::net
