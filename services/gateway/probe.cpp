#include "services/gateway/probe.hpp"

#include <algorithm>

#include "services/gateway/routes.hpp"

namespace raymesh::gateway {
namespace {

constexpr char kRequests[] = "raymesh_gateway_requests_total";
constexpr char kRequestsHelp[] = "Answered requests by route and HTTP status";

}  // namespace

Probe::Probe(metrics::Registry& r)
    : registry_(r),
      connections_(r.gauge("raymesh_gateway_connections", "Open client connections")),
      connections_total_(
          r.counter("raymesh_gateway_connections_total", "Accepted client connections")),
      in_flight_(r.gauge("raymesh_gateway_requests_in_flight", "Requests under way")),
      bytes_in_(r.counter("raymesh_gateway_received_bytes_total", "Bytes of requests")),
      bytes_out_(r.counter("raymesh_gateway_sent_bytes_total", "Bytes of answers")),
      malformed_(r.counter("raymesh_gateway_malformed_requests_total",
                           "Requests that are not valid HTTP, or above a limit of it")),
      timeouts_(r.counter("raymesh_gateway_client_timeouts_total",
                          "Connections closed because the client was too slow")),
      left_(r.counter("raymesh_gateway_client_disconnects_total",
                      "Requests whose client went away before the answer")),
      rate_limited_(r.counter("raymesh_gateway_rate_limited_total", "Requests answered with 429")),
      key_hits_(r.counter("raymesh_gateway_key_cache_total", "Look-ups of API keys",
                          {{"result", "hit"}})),
      key_misses_(r.counter("raymesh_gateway_key_cache_total", "Look-ups of API keys",
                            {{"result", "miss"}})),
      lease_failures_(
          r.counter("raymesh_gateway_rate_lease_failures_total",
                    "Leases of rate-limit tokens that the cache service did not give")) {
  for (size_t i = 0; i <= route_count(); ++i) {
    names_.emplace_back(i < route_count() ? route_at(i).name : "none");
    by_status_.push_back(std::make_unique<std::atomic<metrics::Counter*>[]>(kStatuses));
    seconds_.push_back(&r.histogram("raymesh_gateway_request_seconds",
                                    "From a request's last header byte to its answer's last byte",
                                    metrics::latency_buckets(), {{"route", names_.back()}}));
  }
  requests(route_count(), 404);  // the family exists before the first request
}

metrics::Counter& Probe::requests(size_t route, int status) {
  const auto index = static_cast<size_t>(std::clamp(status, 0, static_cast<int>(kStatuses) - 1));
  auto& slot = by_status_[route][index];
  metrics::Counter* counter = slot.load(std::memory_order_acquire);
  if (!counter) {
    counter = &registry_.counter(kRequests, kRequestsHelp,
                                 {{"route", names_[route]}, {"status", std::to_string(status)}});
    slot.store(counter, std::memory_order_release);
  }
  return *counter;
}

void Probe::connection_opened() {
  connections_.add(1);
  connections_total_.add();
}
void Probe::connection_closed() {
  connections_.add(-1);
}
void Probe::request_started() {
  in_flight_.add(1);
}
void Probe::request_finished(const Route* route, int status, std::chrono::nanoseconds duration,
                             size_t bytes_in, size_t bytes_out) {
  const size_t index = route ? route_index(*route) : route_count();
  in_flight_.add(-1);
  requests(index, status).add();
  seconds_[index]->observe(std::chrono::duration<double>(duration).count());
  bytes_in_.add(bytes_in);
  bytes_out_.add(bytes_out);
}
void Probe::request_malformed() {
  malformed_.add();
}
void Probe::client_timed_out() {
  timeouts_.add();
}
void Probe::client_left() {
  left_.add();
}
void Probe::rate_limited() {
  rate_limited_.add();
}
void Probe::key_cache_hit() {
  key_hits_.add();
}
void Probe::key_cache_miss() {
  key_misses_.add();
}
void Probe::lease_failed() {
  lease_failures_.add();
}

}  // namespace raymesh::gateway
