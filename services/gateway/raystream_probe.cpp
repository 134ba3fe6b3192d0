#include "services/gateway/raystream_probe.hpp"

#include <algorithm>

#include "services/gateway/raystream_methods.hpp"

namespace raymesh::gateway {
namespace {

constexpr char kCalls[] = "raymesh_gateway_raystream_calls_total";
constexpr char kCallsHelp[] = "Answered calls of raystream sessions by method and status";
constexpr char kSessions[] = "raymesh_gateway_raystream_sessions";
constexpr char kSessionsHelp[] = "Raystream sessions by state";
constexpr char kFrames[] = "raymesh_gateway_raystream_frames_total";
constexpr char kFramesHelp[] = "Frames of raystream sessions";
constexpr char kEnds[] = "raymesh_gateway_raystream_closed_total";
constexpr char kEndsHelp[] = "Ended raystream sessions by the code of CLOSE, or how else";
constexpr char kWrites[] = "raymesh_gateway_raystream_state_writes_total";
constexpr char kWritesHelp[] = "Writes of the stored state of raystream sessions";

}  // namespace

RaystreamProbe::RaystreamProbe(metrics::Registry& r)
    : registry_(r),
      open_(r.gauge(kSessions, kSessionsHelp, {{"state", "open"}})),
      attached_(r.gauge(kSessions, kSessionsHelp, {{"state", "attached"}})),
      written_(r.counter(kWrites, kWritesHelp, {{"result", "stored"}})),
      write_failed_(r.counter(kWrites, kWritesHelp, {{"result", "failed"}})),
      write_refused_(r.counter(kWrites, kWritesHelp, {{"result", "refused"}})),
      fenced_(r.counter("raymesh_gateway_raystream_fenced_total",
                        "Sessions that ended because another connection took them over")),
      frames_in_(r.counter(kFrames, kFramesHelp, {{"direction", "in"}})),
      frames_out_(r.counter(kFrames, kFramesHelp, {{"direction", "out"}})),
      bytes_in_(r.counter("raymesh_gateway_raystream_received_bytes_total",
                          "Bytes of frames that were received")),
      bytes_out_(r.counter("raymesh_gateway_raystream_sent_bytes_total",
                           "Bytes that were sent to raystream clients")),
      decrypt_failures_(r.counter("raymesh_gateway_raystream_decrypt_failures_total",
                                  "Frames whose tag did not fit")),
      dropped_(r.counter(kEnds, kEndsHelp, {{"code", "dropped"}})),
      slow_(r.counter(kEnds, kEndsHelp, {{"code", "slow"}})),
      missed_(r.counter("raymesh_gateway_raystream_heartbeats_missed_total",
                        "Periods without a frame of a client")),
      failed_(r.counter("raymesh_gateway_raystream_failed_sessions_total",
                        "Sessions whose actor died of an error: a defect")),
      subscriptions_(r.gauge("raymesh_gateway_raystream_subscriptions",
                             "Channels that raystream sessions are subscribed to, or about to be")),
      events_(r.counter("raymesh_gateway_raystream_events_total",
                        "Events sent to raystream sessions, once for each of them")),
      relay_streams_(
          r.gauge("raymesh_gateway_relay_streams", "Streams from realtime nodes that are up")),
      relayed_(r.counter("raymesh_gateway_relay_messages_total",
                         "Messages from realtime nodes, once for the whole gateway")),
      resubscribed_(r.counter("raymesh_gateway_relay_resubscriptions_total",
                              "Subscriptions asked for again because a stream broke")),
      resets_(r.counter("raymesh_gateway_relay_resets_total",
                        "Subscriptions that were told of missed messages")) {
  constexpr const char* kOutcomes[] = {"done",     "refused",   "rate_limited",
                                       "too_many", "timed_out", "dropped"};
  for (size_t i = 0; i < handshakes_.size(); ++i)
    handshakes_[i] = &r.counter("raymesh_gateway_raystream_handshakes_total",
                                "Raystream handshakes by outcome", {{"outcome", kOutcomes[i]}});
  constexpr const char* kResumptions[] = {"accepted",     "unknown",  "forged",
                                          "unreadable",   "over",     "unavailable",
                                          "unauthorized", "conflict", "done"};
  for (size_t i = 0; i < resumptions_.size(); ++i)
    resumptions_[i] = &r.counter("raymesh_gateway_raystream_resumptions_total",
                                 "Raystream sessions that were to be resumed, by outcome",
                                 {{"outcome", kResumptions[i]}});
  for (size_t i = 0; i < closed_.size(); ++i) {
    const auto code = static_cast<raystream::ErrorCode>(i);
    closed_[i] = &r.counter(
        kEnds, kEndsHelp,
        {{"code", code == raystream::ErrorCode::kNone ? "normal" : std::string(name_of(code))}});
  }
  const auto methods = raystream_methods();
  for (size_t i = 0; i <= methods.size(); ++i) {
    names_.emplace_back(i < methods.size() ? methods[i].name : "unknown");
    by_status_.push_back(std::make_unique<std::atomic<metrics::Counter*>[]>(kStatuses));
    seconds_.push_back(&r.histogram("raymesh_gateway_raystream_call_seconds",
                                    "From a call's last frame to the first one of its answer",
                                    metrics::latency_buckets(), {{"method", names_.back()}}));
  }
  // The family exists before the first call.
  registry_.counter(kCalls, kCallsHelp, {{"method", "unknown"}, {"status", "404"}});
}

void RaystreamProbe::session_opened() {
  open_.add(1);
}
void RaystreamProbe::session_attached() {
  open_.add(-1);
  attached_.add(1);
}
void RaystreamProbe::session_closed(bool was_attached) {
  (was_attached ? attached_ : open_).add(-1);
}
void RaystreamProbe::handshake(Handshake outcome) {
  handshakes_[static_cast<size_t>(outcome)]->add();
}
void RaystreamProbe::resumption(Resumption outcome) {
  resumptions_[static_cast<size_t>(outcome)]->add();
}
void RaystreamProbe::state_written() {
  written_.add();
}
void RaystreamProbe::state_write_failed() {
  write_failed_.add();
}
void RaystreamProbe::state_write_refused() {
  write_refused_.add();
}
void RaystreamProbe::fenced() {
  fenced_.add();
}
void RaystreamProbe::frames(size_t received, size_t received_bytes, size_t sent) {
  if (received > 0) frames_in_.add(received);
  if (received_bytes > 0) bytes_in_.add(received_bytes);
  if (sent > 0) frames_out_.add(sent);
}
void RaystreamProbe::bytes_sent(size_t bytes) {
  bytes_out_.add(bytes);
}
void RaystreamProbe::decrypt_failed() {
  decrypt_failures_.add();
}
void RaystreamProbe::closed(raystream::ErrorCode code) {
  closed_[std::min(static_cast<size_t>(code), closed_.size() - 1)]->add();
}
void RaystreamProbe::dropped() {
  dropped_.add();
}
void RaystreamProbe::slow_reader() {
  slow_.add();
}
void RaystreamProbe::heartbeat_missed() {
  missed_.add();
}
void RaystreamProbe::actor_failed() {
  failed_.add();
}

void RaystreamProbe::call_finished(const RaystreamMethod* method, int status,
                                   std::chrono::nanoseconds duration) {
  const auto methods = raystream_methods();
  const size_t place = method ? static_cast<size_t>(method - methods.data()) : methods.size();
  const auto index = static_cast<size_t>(std::clamp(status, 0, static_cast<int>(kStatuses) - 1));
  auto& slot = by_status_[place][index];
  metrics::Counter* counter = slot.load(std::memory_order_acquire);
  if (!counter) {
    counter = &registry_.counter(kCalls, kCallsHelp,
                                 {{"method", names_[place]}, {"status", std::to_string(status)}});
    slot.store(counter, std::memory_order_release);
  }
  counter->add();
  seconds_[place]->observe(std::chrono::duration<double>(duration).count());
}

}  // namespace raymesh::gateway
