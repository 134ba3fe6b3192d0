#include "services/realtime/backlog.hpp"

#include <algorithm>
#include <utility>

#include "libs/net/websocket/frame.hpp"

namespace raymesh::realtime {

void Backlog::push(Span span, size_t sent) {
  bytes_ += span.size() - sent;
  if (spans_.empty()) {
    sent_ = sent;
  } else if (spans_.back().joins(span)) {
    spans_.back().end = span.end;
    return;
  }
  spans_.push_back(std::move(span));
}

void Backlog::take(Backlog& other) {
  for (Span& span : other.spans_) push(std::move(span));
  allowed_ += other.allowed_;
  other = Backlog();
}

size_t Backlog::gather(std::span<iovec> room) const {
  size_t n = 0;
  size_t skip = sent_;
  for (const Span& span : spans_) {
    if (n == room.size()) break;
    room[n++] = {const_cast<char*>(span.data()) + skip, span.size() - skip};
    skip = 0;
  }
  return n;
}

void Backlog::consume(size_t bytes) {
  bytes_ -= bytes;
  sent_ += bytes;
  while (!spans_.empty() && sent_ >= spans_.front().size()) {
    sent_ -= spans_.front().size();
    spans_.pop_front();
  }
}

void Backlog::keep_started(size_t committed) {
  std::deque<Span> all = std::move(spans_);
  spans_.clear();
  bytes_ = 0;
  size_t needed = sent_ + committed;  // from the first span's start
  const size_t sent = std::exchange(sent_, 0);
  for (Span& span : all) {
    if (needed == 0) break;
    if (span.size() > needed) {
      size_t at = 0;  // a frame's start
      while (at < needed) at += net::websocket::server_frame_bytes(span.data() + at);
      span.end = span.begin + static_cast<uint32_t>(at);
    }
    needed -= std::min(needed, span.size());
    push(std::move(span), spans_.empty() ? sent : 0);
  }
  if (bytes_ == 0) *this = Backlog();
}

}  // namespace raymesh::realtime
