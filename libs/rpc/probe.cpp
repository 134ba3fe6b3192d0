#include "libs/rpc/probe.hpp"

namespace raymesh::rpc {

Probe::Probe(metrics::Registry* registry, const std::string& side, std::string service)
    : registry_(registry), prefix_("raymesh_rpc_" + side), service_(std::move(service)) {
  if (!registry_) return;
  const metrics::Labels labels{{"service", service_}};
  in_flight_ = &registry_->gauge(prefix_ + "_in_flight", "Calls that have not ended", labels);
  batch_bytes_ = &registry_->histogram(prefix_ + "_batch_bytes", "Size of batches sent",
                                       {128, 512, 2048, 8192, 32768, 65536}, labels);
  streams_ = &registry_->gauge(prefix_ + "_streams", "Calls streams that are up", labels);
  if (side == "client")
    reconnects_ = &registry_->counter(prefix_ + "_reconnects_total",
                                      "Attempts to connect after a stream ended", labels);
}

Probe::Method* Probe::find(std::string_view name, size_t& place) const {
  for (place = std::hash<std::string_view>()(name) % kPlaces;; place = (place + 1) % kPlaces) {
    Method* const there = places_[place].load(std::memory_order_acquire);
    if (!there || there->name_ == name) return there;
  }
}

Probe::Method& Probe::method(std::string_view name) {
  size_t place = 0;
  if (Method* known = find(name, place)) return *known;
  std::lock_guard lock(mutex_);
  if (Method* known = find(name, place)) return *known;
  if (methods_.size() >= kMaxMethods) {
    name = "other";
    if (Method* known = find(name, place)) return *known;
  }
  Method& method = methods_.emplace_back();
  method.probe_ = this;
  method.name_ = name;
  add_metrics(method);
  places_[place].store(&method, std::memory_order_release);
  return method;
}

void Probe::add_metrics(Method& method) {
  if (!registry_) return;
  const metrics::Labels labels{{"service", service_}, {"method", method.name_}};
  auto with_code = labels;
  with_code["code"] = "ok";
  method.ok_ = &registry_->counter(prefix_ + "_calls_total", "Calls that have ended", with_code);
  method.seconds_ = &registry_->histogram(prefix_ + "_call_seconds", "From a call to its answer",
                                          metrics::latency_buckets(), labels);
}

void Probe::Method::ended(const ErrorKind* error, std::chrono::nanoseconds took) {
  if (!ok_) return;
  seconds_->observe(std::chrono::duration<double>(took).count());
  if (!error) {
    ok_->add();
    return;
  }
  probe_->registry_
      ->counter(
          probe_->prefix_ + "_calls_total", "Calls that have ended",
          {{"service", probe_->service_}, {"method", name_}, {"code", std::string(error->code)}})
      .add();
}

void Probe::refused(const ErrorKind& error) {
  if (!registry_) return;
  registry_
      ->counter(prefix_ + "_refused_total", "Streams and calls refused at the door",
                {{"service", service_}, {"code", std::string(error.code)}})
      .add();
}

}  // namespace raymesh::rpc
