#include "libs/net/wheel_driver.hpp"

#include <boost/asio/io_context.hpp>

namespace raymesh::net {

WheelDriver::WheelDriver(boost::asio::io_context& io, std::chrono::milliseconds tick)
    : wheel_(tick, TimerWheel::Clock::now()), timer_(io) {}

void WheelDriver::arm(WheelTimer& timer, std::chrono::milliseconds delay) {
  wheel_.arm(timer, delay, TimerWheel::Clock::now());
  if (!scheduled_ && !stopped_) schedule();
}

void WheelDriver::stop() {
  stopped_ = true;
  timer_.cancel();
}

void WheelDriver::schedule() {
  scheduled_ = true;
  timer_.expires_after(wheel_.tick());
  timer_.async_wait([this](boost::system::error_code ec) {
    if (ec || stopped_) return;
    scheduled_ = false;
    wheel_.advance(TimerWheel::Clock::now());
    if (wheel_.armed() > 0 && !scheduled_) schedule();
  });
}

}  // namespace raymesh::net
