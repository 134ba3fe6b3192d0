// The receiving side of the fan-out tool over raystream: each subscriber is a session over TCP that
// attaches, subscribes to its channel, and decrypts, orders and counts what comes. As
// FanSubscribers otherwise; one thread.
#pragma once

#include <cstdint>
#include <memory>

#include "bench/tools/fan.hpp"

namespace raymesh::bench {

class RaystreamSubscribers {
 public:
  RaystreamSubscribers(const FanConfig& config, FanProgress& progress);
  ~RaystreamSubscribers();
  size_t connect_all(double timeout_s);
  void receive(double seconds, uint64_t until_delivered = UINT64_MAX);
  void receive_rest(uint64_t until_delivered, double quiet_s);
  void start_measuring();

  LatencyHistogram latency;
  uint64_t duplicates = 0, reordered = 0, closed = 0;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace raymesh::bench
