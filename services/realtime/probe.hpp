// Every metric of the realtime service in one list. Thread-safe: each call is an atomic add, and
// the hot path calls once per flush, not once per message.
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <optional>

#include "libs/telemetry/metrics.hpp"
#include "services/realtime/close_codes.hpp"

namespace raymesh::realtime {

class Probe {
 public:
  /// What is read when the metrics are.
  struct Sources {
    std::function<double()> connections;
    std::function<double()> channels;
    std::function<double()> queued_bytes;
    std::function<double()> frame_memory_bytes;
    std::function<double()> drain_left;
  };

  explicit Probe(metrics::Registry& registry);
  void watch(metrics::Registry& registry, Sources sources);

  void connection_opened() { opened_.add(); }
  void connection_refused() { refused_.add(); }
  void connection_lost() { lost_.add(); }
  /// By a close frame of ours.
  void connection_closed(const CloseCode& code);
  void published(size_t messages, size_t payload_bytes) {
    published_.add(messages);
    published_bytes_.add(payload_bytes);
  }
  void publish_refused() { publish_refused_.add(); }
  void message_ignored() { ignored_.add(); }
  /// One channel's messages to one shard's subscribers of one form.
  void flushed(size_t deliveries, size_t bytes, double seconds) {
    delivered_.add(deliveries);
    delivered_bytes_.add(bytes);
    fanout_seconds_.observe(seconds);
  }
  /// A subscription began; `recovered` as its client was told.
  void joined(std::optional<bool> recovered) {
    subscriptions_.add(1);
    if (recovered) (*recovered ? recovered_ : not_recovered_).add();
  }
  void left() { subscriptions_.add(-1); }
  /// A channel here has missed messages that it could not get back.
  void lost() { lost_messages_.add(); }
  /// From a publish on this node to its way back from the broker.
  void broker_lag(double seconds) { broker_lag_seconds_.observe(seconds); }
  enum class Slow : uint8_t { kDisconnect, kDrop, kConflate };
  /// What became of a slow connection: closed, told of a gap, or given the latest of each key.
  void slow(Slow policy) { slow_[static_cast<size_t>(policy)]->add(); }
  /// Left out for slow subscribers, by the channel's rule.
  void dropped(size_t messages) {
    if (messages > 0) dropped_.add(messages);
  }
  // Of gateways' streams.
  void relay_opened() { relays_.add(1); }
  void relay_closed() { relays_.add(-1); }
  /// Written to one gateway; `messages` 0: an event.
  void relayed(size_t messages, size_t bytes) {
    relayed_.add(messages);
    relayed_bytes_.add(bytes);
  }
  /// Because the gateway did not take them.
  void relay_left_out(size_t messages) { relay_left_out_.add(messages); }
  void ping_sent() { pings_.add(); }
  void token_minted() { minted_.add(); }

 private:
  metrics::Counter& opened_;
  metrics::Counter& refused_;
  metrics::Counter& lost_;
  metrics::Counter& published_;
  metrics::Counter& published_bytes_;
  metrics::Counter& publish_refused_;
  metrics::Counter& ignored_;
  metrics::Counter& delivered_;
  metrics::Counter& delivered_bytes_;
  metrics::Histogram& fanout_seconds_;
  metrics::Histogram& broker_lag_seconds_;
  metrics::Gauge& subscriptions_;
  metrics::Counter& recovered_;
  metrics::Counter& not_recovered_;
  metrics::Counter& lost_messages_;
  metrics::Counter* slow_[3];
  metrics::Counter& dropped_;
  metrics::Gauge& relays_;
  metrics::Counter& relayed_;
  metrics::Counter& relayed_bytes_;
  metrics::Counter& relay_left_out_;
  metrics::Counter& pings_;
  metrics::Counter& minted_;
  std::map<uint16_t, metrics::Counter*> closed_;
};

}  // namespace raymesh::realtime
