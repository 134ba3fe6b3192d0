// Coroutines that wait for something to change, each with its own deadline. Belongs to one strand:
// all of it is used there only.
#pragma once

#include <algorithm>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <vector>

#include "clients/cpp/src/failures.hpp"

namespace raymesh::client {

namespace asio = boost::asio;

using Clock = std::chrono::steady_clock;
inline constexpr Clock::time_point kNever = Clock::time_point::max();

class Waiters {
 public:
  Waiters() = default;
  Waiters(const Waiters&) = delete;
  Waiters& operator=(const Waiters&) = delete;

  /// Returns after `notify`, or at the deadline; the caller looks which. Throws `cancelled`.
  asio::awaitable<void> wait(Clock::time_point deadline = kNever) {
    asio::steady_timer timer(co_await asio::this_coro::executor, deadline);
    const Entry entry(*this, timer);
    const asio::cancellation_state state = co_await asio::this_coro::cancellation_state;
    if (state.cancelled() != asio::cancellation_type::none) throw cancelled();
    boost::system::error_code ec;
    co_await timer.async_wait(asio::redirect_error(asio::use_awaitable, ec));
    if (state.cancelled() != asio::cancellation_type::none) throw cancelled();
  }

  /// Lets all that wait go on. They run later, not inside.
  void notify() {
    for (asio::steady_timer* timer : timers_) timer->cancel();
  }

 private:
  struct Entry {
    Entry(Waiters& all, asio::steady_timer& timer) : all_(all), timer_(&timer) {
      all_.timers_.push_back(timer_);
    }
    Entry(const Entry&) = delete;
    Entry& operator=(const Entry&) = delete;
    ~Entry() { std::erase(all_.timers_, timer_); }
    Waiters& all_;
    asio::steady_timer* timer_;
  };

  std::vector<asio::steady_timer*> timers_;
};

/// For a whole operation on behalf of a caller: it may be cancelled in every way.
inline asio::awaitable<void> allow_cancellation() {
  co_await asio::this_coro::reset_cancellation_state(asio::enable_total_cancellation());
  co_await asio::this_coro::throw_if_cancelled(false);
}

}  // namespace raymesh::client
