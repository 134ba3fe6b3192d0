// The shared parts of the WebSocket fan-out tool: what a run is, what the two threads tell each
// other, and the marker inside each message by which subscribers recognise, order and time it.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "bench/tools/load_support.hpp"

namespace raymesh::bench {

enum class Dialect { kPlain, kNats, kMqtt };  // kPlain: the URL says what is subscribed

struct FanConfig {
  std::vector<std::string>
      urls;  // ws://..., round robin over subscribers; {ch} becomes the channel's number
  Dialect dialect = Dialect::kPlain;
  size_t subscribers = 1;
  size_t channels = 1;
  size_t handshakes = 256;  // at the same time
  size_t payload_bytes = 128;
  int64_t rate = 0;     // messages per second; 0: closed loop
  uint64_t window = 1;  // closed loop: messages published and not yet everywhere
  // ws://, http://, tcp:// (NATS) or mqtt://; of several, each has an equal run of the channels
  std::vector<std::string> publish;
  size_t publish_connections = 1;  // http://: keep-alive connections, one message in flight on each
  std::string publish_body;        // {ch} and {payload} are filled in
  std::vector<std::string> publish_headers;
  // Subscribers over raystream: a TCP port of 127.0.0.1, its server's key (id:base64url), and the
  // project's.
  int raystream_port = 0;
  std::string raystream_key;
  std::string api_key;
};

/// What the publishing thread and the receiving thread know of each other.
struct FanProgress {
  std::atomic<uint64_t> published{0};
  std::atomic<uint64_t> delivered{0};
  std::atomic<bool> stop{false};      // publish nothing more
  std::atomic<bool> finished{false};  // all that is published has been handed over
  std::atomic<bool> close{false};     // the publisher may close its connections
  std::atomic<uint32_t> wake{0};      // bumped by the receiver when the publisher waits
  std::atomic<bool> publisher_waits{false};
};

/// `#<10 digits: sequence>t<19 digits: ns>#`, inside a JSON string padded to the payload's size.
constexpr size_t kMarkerBytes = 1 + 10 + 1 + 19 + 1;
std::string make_payload(size_t bytes, uint64_t sequence, int64_t time_ns);

/// RFC 6455: the upgrade request, and a masked text frame (mask zero: valid, and nothing to
/// compute).
std::string upgrade_request(const Target& target, const std::vector<std::string>& headers);
void append_client_frame(std::string& out, uint8_t opcode, std::string_view payload);

/// MQTT 3.1.1 with quality of service 0: CONNECT without keep-alive, SUBSCRIBE, PUBLISH.
std::string mqtt_connect(const std::string& client_id);
std::string mqtt_subscribe(const std::string& topic);
std::string mqtt_publish(const std::string& topic, std::string_view payload);

std::string fill(std::string text, size_t channel, std::string_view payload = {});

/// Publishes until `progress.stop`, and returns after `progress.close`; runs on a thread of its
/// own.
void run_publisher(const FanConfig& config, FanProgress& progress);

}  // namespace raymesh::bench
