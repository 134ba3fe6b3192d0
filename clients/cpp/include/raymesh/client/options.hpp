// How a client connects, and how a call is made. Plain values; any thread.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "raymesh/client/error.hpp"

namespace raymesh::client {

/// A server's signing key that is trusted.
struct ServerKey {
  std::string id;
  std::string public_key;  // 32 bytes, or their base64url
};

enum class State : uint8_t { kIdle, kConnecting, kConnected, kClosed };

struct Options {
  /// "tcp://host:4100", "tls://host:4100", "ws://host:4000" and "wss://host" (path /raystream), or
  /// "http://" and "https://" for the same.
  std::string url;
  /// The project's.
  std::string api_key;
  /// The user's, when calls are to be on a user's behalf.
  std::string access_token;
  /// Without any they are read from the gateway's /api/v1/raystream/key, over https or on loopback.
  std::vector<ServerKey> server_keys;
  /// Of a call, all its tries together; zero: none.
  std::chrono::milliseconds timeout{10'000};
  /// What is offered, of "chacha20-poly1305" and "aes-256-gcm"; empty: both.
  std::vector<std::string> ciphers;
  /// Unread events of a subscription before it ends with `slow_consumer`.
  size_t max_queued_events = 10'000;
  /// For https, wss and tls: authorities to trust beside the system's, a PEM file.
  std::string tls_ca_file;
  /// Called on the client's executor; the error says why a connection went, if one did. What it
  /// throws comes out of what runs the executor, as from any handler.
  std::function<void(State, const Error*)> on_state_change;
  /// How often to send a heartbeat, more than 0; the protocol says 60 s.
  std::chrono::milliseconds heartbeat{60'000};
};

/// What a single call wants to have different:
/// `co_await client.call_json("db.insert", row, CallOptions().idempotency_key(key).timeout(2s))`.
class CallOptions {
 public:
  CallOptions() =
      default;  // a class with a constructor: GCC 12 handles aggregates badly in co_await

  /// All tries together; zero: none.
  CallOptions& timeout(std::chrono::milliseconds value) { return timeout_ = value, *this; }
  /// With one a call that writes may be repeated; the server keeps it with the write.
  CallOptions& idempotency_key(std::string value) {
    return idempotency_key_ = std::move(value), *this;
  }
  /// It changes nothing, or the same however often it is sent. Known of raymesh's own reads.
  CallOptions& idempotent(bool value = true) { return idempotent_ = value, *this; }
  /// What the HTTP API has in its path and query, for methods that take it.
  CallOptions& path(std::string value) { return path_ = std::move(value), *this; }
  CallOptions& query(std::string value) { return query_ = std::move(value), *this; }
  CallOptions& metadata(std::string key, std::string value) {
    return metadata_[std::move(key)] = std::move(value), *this;
  }
  /// Bytes of the arguments that were handed to the connection, and all; on the client's executor.
  /// What these two throw is what the call throws.
  CallOptions& on_upload(std::function<void(size_t sent, size_t total)> value) {
    return on_upload_ = std::move(value), *this;
  }
  /// Bytes of the result that have come.
  CallOptions& on_download(std::function<void(size_t received)> value) {
    return on_download_ = std::move(value), *this;
  }

 private:
  friend class Session;
  std::optional<std::chrono::milliseconds> timeout_;
  std::optional<std::string> idempotency_key_;
  std::optional<bool> idempotent_;
  std::string path_, query_;
  std::map<std::string, std::string> metadata_;
  std::function<void(size_t, size_t)> on_upload_;
  std::function<void(size_t)> on_download_;
};

enum class StreamKind : uint8_t { kTable = 1, kChannel = 2 };

class SubscribeOptions {
 public:
  SubscribeOptions() = default;
  /// Default: a channel.
  SubscribeOptions& kind(StreamKind value) { return kind_ = value, *this; }
  /// To go on behind this position (Event::position); default: from now on. Of the first reader of
  /// a name only: the others join where it is.
  SubscribeOptions& from(std::string position) { return from_ = std::move(position), *this; }
  /// Of a channel: kJoin and kLeave, too. As `from` of the first reader only.
  SubscribeOptions& presence(bool value = true) { return presence_ = value, *this; }

 private:
  friend class Session;
  StreamKind kind_ = StreamKind::kChannel;
  std::string from_;
  bool presence_ = false;
};

}  // namespace raymesh::client
