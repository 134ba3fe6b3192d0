// The part of Connection that deals with what its client cannot be given: channels that may leave
// messages out while the socket is full, messages that were lost on their way to the node, and the
// place at which a stream stands.
#include <algorithm>

#include "services/realtime/connection.hpp"
#include "services/realtime/event_encoder.hpp"
#include "services/realtime/shard.hpp"

namespace raymesh::realtime {

void Connection::send_lossy(uint32_t subscription, const ChannelRule& rule,
                            const LocalChannel::Pending& pending) {
  if (state_ != State::kOpen && state_ != State::kJoining) return;
  const Span& span = pending.span;
  const Channel& channel = *subscriptions_[subscription].channel;
  size_t sent = 0;
  size_t committed = 0;  // goes out whatever happens
  if (!backlog_ && state_ == State::kOpen) {
    const auto result = stream_.write(span.data(), span.size());
    if (result.state == net::IoState::kFailed || result.state == net::IoState::kEnd) return abort();
    sent = result.bytes;
    if (sent == span.size()) return;
    // A TLS stream may have promised a part of what it did not take (FdStream::write).
    committed = sent + (stream_.is_tls() ? net::FdStream::kRecord : 0);
  }
  if (!backlog_) backlog_ = std::make_unique<Backlog>();
  if (!lossy_) lossy_ = std::make_unique<LossyQueue>();
  const bool was_conflating = lossy_->bytes() > 0;
  const size_t limit = shard_.node().limits.max_backlog_bytes;
  uint64_t dropped = 0;
  size_t index = 0;
  for (size_t at = 0; at < span.size(); ++index) {
    const size_t bytes = frame_bytes(dialect_, span.data() + at, span.size() - at);
    const size_t end = at + bytes;
    const Span frame{span.segment, span.begin + static_cast<uint32_t>(at),
                     span.begin + static_cast<uint32_t>(end)};
    if (end > sent) {
      const bool is_event = pending.messages == 0;
      if (at < committed || is_event || state_ == State::kJoining) {
        backlog_->push(frame, at < sent ? sent - at : 0);
      } else if (rule.slow == SlowPolicy::kConflate) {
        // A copy of its own: the channel's segment would be held for one frame of it.
        lossy_->keep_latest(channel, (*pending.keys)[index],
                            Span::copy({frame.data(), bytes}, shard_.node().outlets->memory));
      } else if (lossy_->is_dropping(channel) ||
                 backlog_->bytes() + bytes > limit + backlog_->allowed()) {
        lossy_->drop(channel,
                     {pending.last.epoch, pending.last.offset - pending.messages + 1 + index});
        ++dropped;
      } else {
        backlog_->push(frame);
      }
    }
    at = end;
  }
  shard_.node().probe.dropped(dropped);
  if (stream_.is_tls()) flush_backlog();
  if (rule.slow == SlowPolicy::kConflate && !was_conflating && lossy_ && lossy_->bytes() > 0)
    shard_.node().probe.slow(Probe::Slow::kConflate);
  const size_t kept = lossy_ ? lossy_->bytes() : 0;
  if (kept > limit ||
      (kept > NodeLimits::kFairBacklog &&
       shard_.node().outlets->memory.bytes() > shard_.node().limits.max_frame_memory))
    return close(close::kTooSlow);
  check_backlog();
}

/// The socket has taken everything: now for what was left out meanwhile.
void Connection::catch_up() {
  while (lossy_ && !backlog_ && state_ == State::kOpen) {
    if (const auto gap = lossy_->take_gap()) {
      shard_.node().probe.slow(Probe::Slow::kDrop);
      v1::Event event;
      v1::Gap& out = *event.mutable_gap();
      out.set_channel(gap->channel->name());
      out.set_epoch(epoch_text(gap->last.epoch));
      out.set_offset(gap->last.offset);
      if (gap->lost) out.set_lost(*gap->lost);
      out.set_reason(gap->never_came ? "broker" : "slow");
      send_event(event);
      continue;
    }
    const Span frame = lossy_->take_frame();
    if (frame.empty()) {
      lossy_.reset();
      return;
    }
    write_spans({&frame, 1});
  }
}

void Connection::on_lost(uint32_t subscription, const Lost& lost) {
  if (state_ != State::kOpen && state_ != State::kJoining) return;
  if (dialect_ == Dialect::kDefault) {
    // All clients of a channel come here at once; they are to come back one after the other.
    const auto wait = shard_.return_after();
    return close(close::kMessagesLost, "reconnect_after_ms=" + std::to_string(wait.count()));
  }
  subscriptions_[subscription].at = lost.at;
  if (lossy_ && lossy_->lose(*lost.channel, lost.at, lost.messages)) return;
  // What was kept of each key is older than the gap, so it must not come behind it.
  const bool forgot = lossy_ && lossy_->forget(*lost.channel);
  v1::Event event;
  v1::Gap& gap = *event.mutable_gap();
  gap.set_channel(lost.channel->name());
  gap.set_epoch(epoch_text(lost.at.epoch));
  gap.set_offset(lost.at.offset);
  if (lost.messages && !forgot) gap.set_lost(*lost.messages);
  gap.set_reason("broker");
  send_event(event);
}

void Connection::note_position(uint32_t subscription,
                               const std::vector<LocalChannel::Pending>& sent) {
  if (state_ != State::kOpen && state_ != State::kJoining) return;
  const auto last = std::find_if(sent.rbegin(), sent.rend(),
                                 [](const auto& pending) { return pending.messages > 0; });
  if (last == sent.rend()) return;
  subscriptions_[subscription].at = last->last;
  if (state_ == State::kOpen) write_position();
}

void Connection::write_position() {
  std::string line = "id: ";
  for (const Subscription& s : subscriptions_) {
    if (line.back() != ' ') line += ',';
    (line += epoch_text(s.at.epoch)) += ':';
    line += std::to_string(s.at.offset);
  }
  write_bytes(line += "\n\n");
}

}  // namespace raymesh::realtime
