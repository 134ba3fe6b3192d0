// All metrics of raystream sessions. Thread-safe; verbs for the logic, so that it knows no
// registry.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "libs/raystream/protocol.hpp"
#include "libs/telemetry/metrics.hpp"

namespace raymesh::gateway {

struct RaystreamMethod;

class RaystreamProbe {
 public:
  explicit RaystreamProbe(metrics::Registry& registry);

  enum class Handshake : uint8_t { kDone, kRefused, kRateLimited, kTooMany, kTimedOut, kDropped };

  /// What became of a wish to go on with a session: in the handshake kAccepted or why it began
  /// anew, after RESUME kDone or why it ended.
  enum class Resumption : uint8_t {
    kAccepted,
    kUnknown,
    kForged,      // the binder does not fit
    kUnreadable,  // changed in the store, or sealed with a key that is gone
    kOver,
    kUnavailable,
    kUnauthorized,
    kConflict,
    kDone,
  };

  void session_opened();
  void session_attached();
  void session_closed(bool was_attached);
  void handshake(Handshake outcome);
  void resumption(Resumption outcome);
  void state_written();
  void state_write_failed();
  void state_write_refused();
  /// A session that another connection has taken over.
  void fenced();
  void frames(size_t received, size_t received_bytes, size_t sent);
  void bytes_sent(size_t bytes);
  void decrypt_failed();
  /// By whom: the code that the gateway has closed with; kNone also for an end by the client.
  void closed(raystream::ErrorCode code);
  void dropped();
  void slow_reader();
  void heartbeat_missed();
  void actor_failed();
  void subscriptions_changed(int by) { subscriptions_.add(by); }
  void events_sent(size_t events) { events_.add(events); }
  // Of the streams from realtime nodes.
  void relay_stream_up() { relay_streams_.add(1); }
  void relay_stream_down() { relay_streams_.add(-1); }
  /// Messages that came, once for the whole gateway.
  void relayed(size_t messages) { relayed_.add(messages); }
  /// One that its session has already was asked for once more.
  void resubscribed() { resubscribed_.add(); }
  void subscriptions_reset(size_t subscriptions) {
    if (subscriptions > 0) resets_.add(subscriptions);
  }
  /// `method` may be nullptr: there is none of that name.
  void call_finished(const RaystreamMethod* method, int status, std::chrono::nanoseconds duration);

 private:
  static constexpr size_t kStatuses = 600;

  metrics::Registry& registry_;
  metrics::Gauge& open_;
  metrics::Gauge& attached_;
  std::array<metrics::Counter*, 6> handshakes_{};
  std::array<metrics::Counter*, 9> resumptions_{};
  metrics::Counter& written_;
  metrics::Counter& write_failed_;
  metrics::Counter& write_refused_;
  metrics::Counter& fenced_;
  metrics::Counter& frames_in_;
  metrics::Counter& frames_out_;
  metrics::Counter& bytes_in_;
  metrics::Counter& bytes_out_;
  metrics::Counter& decrypt_failures_;
  std::array<metrics::Counter*, 15> closed_{};
  metrics::Counter& dropped_;
  metrics::Counter& slow_;
  metrics::Counter& missed_;
  metrics::Counter& failed_;
  metrics::Gauge& subscriptions_;
  metrics::Counter& events_;
  metrics::Gauge& relay_streams_;
  metrics::Counter& relayed_;
  metrics::Counter& resubscribed_;
  metrics::Counter& resets_;
  // By the method's place in the table, the last one for names that there are not.
  std::vector<std::string> names_;
  std::vector<std::unique_ptr<std::atomic<metrics::Counter*>[]>> by_status_;
  std::vector<metrics::Histogram*> seconds_;
};

}  // namespace raymesh::gateway
