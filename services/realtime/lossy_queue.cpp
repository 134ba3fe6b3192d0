#include "services/realtime/lossy_queue.hpp"

#include <algorithm>
#include <utility>

namespace raymesh::realtime {

void LossyQueue::drop(const Channel& channel, Position at) {
  for (Gap& gap : gaps_)
    if (gap.channel == &channel) {
      gap.last = at;
      if (gap.lost) ++*gap.lost;
      return;
    }
  gaps_.push_back({&channel, at, 1});
}

bool LossyQueue::lose(const Channel& channel, Position at, std::optional<uint64_t> messages) {
  for (Gap& gap : gaps_)
    if (gap.channel == &channel) {
      gap.last = at;
      gap.never_came = true;
      if (gap.lost && messages) {
        *gap.lost += *messages;
      } else {
        gap.lost.reset();
      }
      return true;
    }
  return false;
}

bool LossyQueue::is_dropping(const Channel& channel) const {
  return std::any_of(gaps_.begin(), gaps_.end(),
                     [&channel](const Gap& gap) { return gap.channel == &channel; });
}

std::string LossyQueue::name(const Channel& channel, const std::string& key) {
  return std::to_string(reinterpret_cast<uintptr_t>(&channel)) + ':' + key;
}

void LossyQueue::clear(Frame& frame) {
  bytes_ -= frame.bytes.size() + 2 * frame.key.size();
  frame.bytes = {};
  frame.key = {};
}

void LossyQueue::keep_latest(const Channel& channel, const std::string& key, Span frame) {
  const auto [it, fresh] = latest_.try_emplace(name(channel, key));
  if (!fresh) clear(frames_[it->second - taken_]);
  it->second = taken_ + frames_.size();
  bytes_ += frame.size() + 2 * key.size();
  frames_.push_back({&channel, key, std::move(frame)});
  // Replaced frames in the middle go when they reach the front, or when they are most of it all.
  if (frames_.size() > 64 && frames_.size() > 4 * latest_.size()) {
    std::erase_if(frames_, [](const Frame& f) { return f.bytes.empty(); });
    taken_ = 0;
    for (size_t i = 0; i < frames_.size(); ++i)
      latest_[name(*frames_[i].channel, frames_[i].key)] = i;
  }
}

bool LossyQueue::forget(const Channel& channel) {
  bool any = std::erase_if(gaps_, [&](const Gap& gap) { return gap.channel == &channel; }) > 0;
  for (Frame& frame : frames_) {
    if (frame.channel != &channel || frame.bytes.empty()) continue;
    latest_.erase(name(channel, frame.key));
    clear(frame);
    any = true;
  }
  return any;
}

std::optional<LossyQueue::Gap> LossyQueue::take_gap() {
  if (gaps_.empty()) return std::nullopt;
  const Gap gap = gaps_.back();
  gaps_.pop_back();
  return gap;
}

Span LossyQueue::take_frame() {
  while (!frames_.empty()) {
    Frame frame = std::move(frames_.front());
    frames_.pop_front();
    ++taken_;
    if (frame.bytes.empty()) continue;
    latest_.erase(name(*frame.channel, frame.key));
    Span out = frame.bytes;
    clear(frame);
    return out;
  }
  return {};
}

}  // namespace raymesh::realtime
