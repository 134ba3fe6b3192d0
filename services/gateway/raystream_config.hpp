// The options of raystream in the gateway (section "gateway", names that begin with raystream-).
// Filled at start-up, read-only afterwards.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "libs/base/result.hpp"
#include "libs/config/options.hpp"

namespace raymesh::gateway {

struct RaystreamConfig {
  std::string listen;             // of the TCP port; empty: none
  std::vector<std::string> keys;  // "id:seed", the first one signs; none: raystream is off

  // "id:key", the first one seals what is stored of sessions; none: they cannot be resumed.
  std::vector<std::string> state_keys;

  int64_t max_sessions = 20'000;
  int64_t max_unattached = 1'000;
  int64_t max_unattached_per_address = 64;
  double handshake_rate = 2'000;  // per second, all together
  double address_handshake_rate = 20;
  double address_handshake_burst = 100;

  int64_t max_calls = 128;                   // open ones of a session
  int64_t max_subscriptions = 100;           // of a session
  uint64_t max_unattached_memory = 8 << 20;  // incomplete frames of who is not attached yet
  uint64_t max_frame_memory = 128 << 20;     // and of the others
  uint64_t max_result_memory = 256 << 20;    // results that wait to be sent, all sessions
  uint64_t max_event_memory = 256 << 20;     // events that wait to be sent, all sessions
  uint64_t max_queued = 64 << 20;            // bytes that wait for one slow reader

  // The times of the protocol page.
  std::chrono::milliseconds handshake_timeout{5'000};
  std::chrono::milliseconds attach_timeout{10'000};
  std::chrono::milliseconds life{5 * 60'000};
  std::chrono::milliseconds longest_life{24 * 3'600'000};
  std::chrono::milliseconds heartbeat{60'000};
  std::chrono::milliseconds check_period{5'000};  // of keys, lives and beats

  std::chrono::milliseconds fence_period{250};  // until another gateway's taking over is seen

  void declare(config::Options& options);
  Status check() const;
};

}  // namespace raymesh::gateway
