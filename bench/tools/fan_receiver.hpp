// The receiving side of the fan-out tool, but for what subscribers speak: connects them, waits on
// their sockets, and counts, orders and times what comes. One thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "bench/tools/fan.hpp"

namespace raymesh::bench {

class FanReceiver {
 public:
  FanReceiver(const FanReceiver&) = delete;
  FanReceiver& operator=(const FanReceiver&) = delete;
  virtual ~FanReceiver();

  /// Connects everybody, at most `config.handshakes` at a time; returns how many are open after
  /// `timeout_s`.
  size_t connect_all(double timeout_s);
  /// Receives for this long, or until `until_delivered` deliveries were seen.
  void receive(double seconds, uint64_t until_delivered = UINT64_MAX);
  /// Receives until this many deliveries were seen or none has come for `quiet_s`.
  void receive_rest(uint64_t until_delivered, double quiet_s);
  void start_measuring();

  LatencyHistogram latency;
  uint64_t duplicates = 0, reordered = 0, closed = 0;

 protected:
  /// What a subscriber has seen of its channel.
  struct Order {
    uint64_t next = 1;     // channels begin at 1, and everybody was there before
    uint64_t skipped = 0;  // sequences below it that have not come
  };

  FanReceiver(const FanConfig& config, FanProgress& progress);

  /// Begins to connect the subscriber of this number: `watch` follows.
  virtual void start(size_t number) = 0;
  /// Something is there on a watched socket (EPOLLIN, ...; edge-triggered).
  virtual void on_event(void* subscriber, uint32_t events) = 0;

  void watch(int fd, void* subscriber);
  /// One that was started gets messages from now on.
  void opened();
  /// Its connection is gone; also closes it.
  void lost(int fd, bool was_open);
  /// A message came: its marker.
  void delivered(Order& order, std::string_view marker);
  /// With a reset: thousands of sockets in TIME_WAIT would make the next run's connect() look for a
  /// free port for longer than the server takes.
  static void close_with_reset(int fd);

  const FanConfig& config_;
  std::vector<char> buffer_ = std::vector<char>(size_t{256} << 10);  // to read into

 private:
  void poll(int timeout_ms);

  FanProgress& progress_;
  const int epoll_;
  size_t started_ = 0;
  size_t handshakes_ = 0;
  size_t open_ = 0;
  uint64_t batch_ = 0;
  int64_t now_ = 0;
  bool measuring_ = false;
};

/// Over WebSockets, or NATS or MQTT over them.
std::unique_ptr<FanReceiver> websocket_receiver(const FanConfig& config, FanProgress& progress);
/// Each subscriber is a raystream session over TCP that attaches, subscribes and decrypts.
std::unique_ptr<FanReceiver> raystream_receiver(const FanConfig& config, FanProgress& progress);

}  // namespace raymesh::bench
