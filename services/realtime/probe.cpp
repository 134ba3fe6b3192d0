#include "services/realtime/probe.hpp"

namespace raymesh::realtime {

Probe::Probe(metrics::Registry& r)
    : opened_(r.counter("raymesh_realtime_connections_opened_total", "WebSockets opened")),
      refused_(r.counter("raymesh_realtime_connections_refused_total",
                         "Sockets that ended before the WebSocket was open")),
      lost_(r.counter("raymesh_realtime_connections_lost_total",
                      "WebSockets that ended without a close frame, or did not answer a ping")),
      published_(r.counter("raymesh_realtime_published_total", "Messages accepted")),
      published_bytes_(
          r.counter("raymesh_realtime_published_bytes_total", "Payload bytes accepted")),
      publish_refused_(r.counter("raymesh_realtime_publish_refused_total",
                                 "Publishes refused because too much was waiting to be sent")),
      ignored_(r.counter("raymesh_realtime_messages_ignored_total",
                         "Client messages that were not a publish to a granted channel")),
      delivered_(r.counter("raymesh_realtime_delivered_total",
                           "Messages handed to sockets, once per subscriber")),
      delivered_bytes_(
          r.counter("raymesh_realtime_delivered_bytes_total", "Bytes handed to sockets")),
      fanout_seconds_(r.histogram("raymesh_realtime_fanout_seconds",
                                  "Sending what has come of a channel to a shard's subscribers",
                                  metrics::latency_buckets())),
      broker_lag_seconds_(r.histogram("raymesh_realtime_broker_lag_seconds",
                                      "From a publish here to its way back from the broker",
                                      metrics::latency_buckets())),
      subscriptions_(
          r.gauge("raymesh_realtime_subscriptions",
                  "Subscriptions of open connections and, by gateways, of raystream sessions")),
      recovered_(
          r.counter("raymesh_realtime_recoveries_total",
                    "Subscriptions with a position, by whether all that was missed was given",
                    {{"outcome", "recovered"}})),
      not_recovered_(
          r.counter("raymesh_realtime_recoveries_total", "", {{"outcome", "not_recovered"}})),
      lost_messages_(r.counter("raymesh_realtime_gaps_total",
                               "Channels that missed messages of the broker for good")),
      slow_{&r.counter("raymesh_realtime_slow_total", "Slow connections, by what became of them",
                       {{"policy", "disconnect"}}),
            &r.counter("raymesh_realtime_slow_total", "", {{"policy", "drop"}}),
            &r.counter("raymesh_realtime_slow_total", "", {{"policy", "conflate"}})},
      dropped_(r.counter("raymesh_realtime_dropped_total",
                         "Messages left out for slow subscribers of channels with slow=drop")),
      relays_(r.gauge("raymesh_realtime_relay_streams",
                      "Streams of gateways that get channels for raystream sessions")),
      relayed_(r.counter("raymesh_realtime_relayed_total",
                         "Messages written to gateways, once for each of them")),
      relayed_bytes_(r.counter("raymesh_realtime_relayed_bytes_total",
                               "Bytes of messages and events written to gateways")),
      relay_left_out_(r.counter("raymesh_realtime_relay_left_out_total",
                                "Messages left out for gateways that did not take them")),
      pings_(r.counter("raymesh_realtime_pings_total", "Pings sent")),
      minted_(r.counter("raymesh_realtime_tokens_minted_total", "Tokens minted")) {
  for (const CloseCode& code : close::kAll)
    closed_[code.code] =
        &r.counter("raymesh_realtime_connections_closed_total",
                   "Close frames that began a close here, by code (docs/protocols/realtime.md)",
                   {{"code", std::to_string(code.code)}});
}

void Probe::watch(metrics::Registry& r, Sources sources) {
  r.gauge_function("raymesh_realtime_connections", "Open sockets", {},
                   std::move(sources.connections));
  r.gauge_function("raymesh_realtime_channels", "Channels with subscribers", {},
                   std::move(sources.channels));
  r.gauge_function("raymesh_realtime_drain_left",
                   "Connections that a stopping node has still to close; 0 while it serves", {},
                   std::move(sources.drain_left));
  r.gauge_function("raymesh_realtime_queued_bytes", "Bytes that shards have not begun to send", {},
                   std::move(sources.queued_bytes));
  r.gauge_function("raymesh_realtime_frame_memory_bytes",
                   "Memory of encoded frames, with what slow readers hold", {},
                   std::move(sources.frame_memory_bytes));
}

void Probe::connection_closed(const CloseCode& code) {
  if (code.code == close::kTooSlow.code) slow(Slow::kDisconnect);
  if (const auto it = closed_.find(code.code); it != closed_.end()) it->second->add();
}

}  // namespace raymesh::realtime
