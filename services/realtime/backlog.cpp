#include "services/realtime/backlog.hpp"

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

void Backlog::keep_started_frame() {
  if (sent_ == 0 || spans_.empty()) {
    spans_.clear();
    sent_ = 0;
    bytes_ = 0;
    return;
  }
  Span first = std::move(spans_.front());
  spans_.clear();
  size_t at = 0;  // a frame's start
  while (at < sent_) at += net::websocket::server_frame_bytes(first.data() + at);
  first.end = first.begin + static_cast<uint32_t>(at);
  bytes_ = at - sent_;
  if (bytes_ == 0) {
    sent_ = 0;
  } else {
    spans_.push_back(std::move(first));
  }
}

}  // namespace raymesh::realtime
