#include "services/gateway/raystream_config.hpp"

namespace raymesh::gateway {

using namespace std::chrono_literals;

void RaystreamConfig::declare(config::Options& options) {
  options
      .text("raystream-listen", &listen,
            "address of raystream's TCP port, host:port; empty: none (the WebSocket is on the "
            "public port)")
      .secret_list("raystream-keys", &keys,
                   "signing keys of raystream, id:seed, as `raymesh raystream key create` makes "
                   "them; the first one signs; without any raystream is off")
      .secret_list("raystream-state-keys", &state_keys,
                   "keys that the stored state of raystream sessions is encrypted with, id:key, as "
                   "`raymesh raystream key create --state` makes them; the first one encrypts; "
                   "without any, sessions cannot be resumed")
      .integer("raystream-max-sessions", &max_sessions, 1, 1'000'000, "open raystream sessions")
      .integer("raystream-max-unattached", &max_unattached, 1, 1'000'000,
               "of these, not attached yet")
      .integer("raystream-max-unattached-per-address", &max_unattached_per_address, 1, 1'000'000,
               "of these, from one client address")
      .number("raystream-handshake-rate", &handshake_rate, 0.01, 1e9,
              "handshakes per second, all together")
      .number("raystream-address-handshake-rate", &address_handshake_rate, 0.01, 1e9,
              "handshakes per second from one client address")
      .number("raystream-address-handshake-burst", &address_handshake_burst, 1, 1e9,
              "handshakes at once from one client address")
      .integer("raystream-max-calls", &max_calls, 1, 65'536, "open calls of one session")
      .integer("raystream-max-subscriptions", &max_subscriptions, 1, 10'000,
               "channels that one session may be subscribed to")
      .bytes("raystream-max-unattached-memory", &max_unattached_memory, 64 << 10, uint64_t{1} << 40,
             "memory for incomplete frames of sessions that are not attached")
      .bytes("raystream-max-frame-memory", &max_frame_memory, 1 << 20, uint64_t{1} << 40,
             "memory for incomplete frames of the others")
      .bytes("raystream-max-result-memory", &max_result_memory, 16 << 20, uint64_t{1} << 40,
             "memory for results that wait to be sent")
      .bytes("raystream-max-event-memory", &max_event_memory, 16 << 20, uint64_t{1} << 40,
             "memory for events that wait to be sent; above it the sessions that are behind end")
      .bytes("raystream-max-queued", &max_queued, 1 << 20, uint64_t{1} << 40,
             "bytes that wait for one client to read; above it its session ends")
      .duration("raystream-handshake-timeout", &handshake_timeout, 10ms, 10min,
                "from the connection to the end of the handshake")
      .duration("raystream-attach-timeout", &attach_timeout, 10ms, 10min,
                "from there until the session is attached")
      .duration("raystream-life", &life, 100ms, 24h, "of a session, begun anew by every frame")
      .duration("raystream-longest-life", &longest_life, 100ms, 24h * 30, "of a session")
      .duration("raystream-heartbeat", &heartbeat, 10ms, 1h,
                "without a frame counts as a heartbeat missed; three end the session")
      .duration("raystream-check-period", &check_period, 10ms, 1min,
                "how often keys, tokens and lives of idle sessions are checked")
      .duration("raystream-fence-period", &fence_period, 10ms, 1min,
                "how often a gateway looks whether others have taken over sessions of it");
}

Status RaystreamConfig::check() const {
  auto key_of = [](const std::string& pair) { return pair.substr(pair.find(':') + 1); };
  for (const std::string& state : state_keys)
    for (const std::string& signing : keys)
      if (key_of(state) == key_of(signing))
        return Error(
            errors::kInvalidRequest,
            "--raystream-state-keys has a signing key of --raystream-keys: make one of its "
            "own with `raymesh raystream key create --state`");
  if (!listen.empty() && keys.empty())
    return Error(errors::kInvalidRequest,
                 "--raystream-listen needs --raystream-keys: make one with `raymesh raystream key "
                 "create`");
  return ok_status();
}

}  // namespace raymesh::gateway
