// Drives one TimerWheel from an io_context: ticks while timers are armed, sleeps when none is. One
// per I/O thread, used on that thread only.
#pragma once

#include <boost/asio/steady_timer.hpp>

#include "libs/net/timer_wheel.hpp"

namespace raymesh::net {

class WheelDriver {
 public:
  WheelDriver(boost::asio::io_context& io, std::chrono::milliseconds tick);

  void arm(WheelTimer& timer, std::chrono::milliseconds delay);
  /// Ends the ticking; call before the io_context goes away.
  void stop();

 private:
  void schedule();

  TimerWheel wheel_;
  boost::asio::steady_timer timer_;
  bool scheduled_ = false;
  bool stopped_ = false;
};

}  // namespace raymesh::net
