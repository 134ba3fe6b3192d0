#include "libs/rpc/probe.hpp"

namespace raymesh::rpc {
namespace {

constexpr size_t kMaxMethods = 64;

}  // namespace

Probe::Probe(metrics::Registry* registry, std::string side, std::string service)
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

Probe::Method& Probe::method(std::string_view name) {
  std::lock_guard lock(mutex_);
  auto it = methods_.find(name);
  if (it != methods_.end()) return it->second;
  if (methods_.size() >= kMaxMethods) {
    name = "other";
    it = methods_.find(name);
    if (it != methods_.end()) return it->second;
  }
  Method& method = methods_[std::string(name)];
  method.probe_ = this;
  method.name_ = name;
  if (!registry_) return method;
  const metrics::Labels labels{{"service", service_}, {"method", method.name_}};
  auto with_code = labels;
  with_code["code"] = "ok";
  method.ok_ = &registry_->counter(prefix_ + "_calls_total", "Calls that have ended", with_code);
  method.seconds_ = &registry_->histogram(prefix_ + "_call_seconds", "From a call to its answer",
                                          metrics::latency_buckets(), labels);
  return method;
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
