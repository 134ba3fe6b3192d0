#include "libs/net/timer_wheel.hpp"

#include <algorithm>

namespace raymesh::net {

void WheelTimer::disarm() {
  if (!next_) return;
  next_->previous_ = previous_;
  previous_->next_ = next_;
  next_ = previous_ = nullptr;
  if (count_) --*count_;
  count_ = nullptr;
}

TimerWheel::TimerWheel(std::chrono::milliseconds tick, Clock::time_point now)
    : tick_(tick), start_(now), slots_(kSlots) {
  for (Head& head : slots_) head.next_ = head.previous_ = &head;
}

TimerWheel::~TimerWheel() {
  for (Head& head : slots_)
    while (head.next_ != &head) head.next_->disarm();
}

uint64_t TimerWheel::ticks(Clock::time_point t) const {
  return t <= start_ ? 0 : static_cast<uint64_t>((t - start_) / tick_);
}

void TimerWheel::link(WheelTimer& head, WheelTimer& timer) {
  timer.next_ = &head;
  timer.previous_ = head.previous_;
  head.previous_->next_ = &timer;
  head.previous_ = &timer;
}

void TimerWheel::arm(WheelTimer& timer, std::chrono::milliseconds delay, Clock::time_point now) {
  timer.disarm();
  // Nothing armed: the wheel stood still, and the ticks since then have nothing to fire.
  if (armed_ == 0) done_ = std::max(done_, ticks(now));
  // One tick more than the whole ticks of the delay, so that it never fires early.
  timer.due_ = std::max(ticks(now + delay), done_) + 1;
  timer.count_ = &armed_;
  ++armed_;
  link(slots_[timer.due_ % kSlots], timer);
}

void TimerWheel::advance(Clock::time_point now) {
  const uint64_t target = ticks(now);
  while (done_ < target && armed_ > 0) {
    ++done_;
    // The slot's list moves to `due` first, because handlers may arm into the same slot again.
    Head& slot = slots_[done_ % kSlots];
    if (slot.next_ == &slot) continue;
    Head due;
    due.next_ = slot.next_;
    due.previous_ = slot.previous_;
    due.next_->previous_ = &due;
    due.previous_->next_ = &due;
    slot.next_ = slot.previous_ = &slot;
    while (due.next_ != &due) {
      WheelTimer& timer = *due.next_;
      if (timer.due_ > done_) {  // a later turn of the wheel
        timer.next_->previous_ = timer.previous_;
        timer.previous_->next_ = timer.next_;
        link(slot, timer);
        continue;
      }
      timer.disarm();
      timer.on_timeout();
    }
    due.next_ = due.previous_ = nullptr;
  }
  if (armed_ == 0) done_ = std::max(done_, target);
}

}  // namespace raymesh::net
