#include "services/gateway/core.hpp"

#include <boost/asio/io_context.hpp>

#include "libs/actor/loop_unit.hpp"
#include "libs/base/cores.hpp"
#include "services/gateway/http_exchange.hpp"
#include "services/gateway/http_session.hpp"

namespace raymesh::gateway {
namespace {

// Kept between requests, a few KiB each.
constexpr size_t kMaxFreeExchanges = 128;

size_t thread_count(const Config& config) {
  if (config.threads > 0) return static_cast<size_t>(config.threads);
  return available_cores();
}

}  // namespace

Worker::Worker(Core& c, size_t i)
    : core(c),
      index(i),
      wheel(c.threads.context(i), c.config.timer_tick),
      fences(c.threads.context(i), c.config.raystream.fence_period / 4),
      parser({static_cast<size_t>(c.config.max_header_bytes),
              static_cast<size_t>(c.config.max_header_fields)}),
      scratch(new char[kScratch]),
      keys(c, i),
      rate_passes(i),
      relayed(*this) {}
Worker::~Worker() = default;

std::unique_ptr<HttpExchange> Worker::take_exchange() {
  if (free_exchanges_.empty()) return std::make_unique<HttpExchange>();
  auto exchange = std::move(free_exchanges_.back());
  free_exchanges_.pop_back();
  return exchange;
}

void Worker::give_back(std::unique_ptr<HttpExchange> exchange) {
  exchange->reset();
  if (free_exchanges_.size() < kMaxFreeExchanges) free_exchanges_.push_back(std::move(exchange));
}

void Worker::run_actors() {
  if (in_turn_ || !actors) return;
  in_turn_ = true;
  while (actors->run()) {
  }
  in_turn_ = false;
}

Core::Core(const Config& c, metrics::Registry& registry, caf::actor_system& actor_system)
    : config(c),
      system(actor_system),
      probe(registry),
      rates(*this, thread_count(c)),
      raystream_limits(config.raystream, std::chrono::steady_clock::now()),
      raystream_probe(registry),
      raystream_store(*this),
      raystream_owners(*this),
      strangers_frames(config.raystream.max_unattached_memory),
      frames(config.raystream.max_frame_memory),
      threads(thread_count(c), "gateway") {
  for (size_t i = 0; i < threads.size(); ++i) workers.push_back(std::make_unique<Worker>(*this, i));
  relay = std::make_unique<RealtimeRelay>(*this);
}

Core::~Core() = default;

}  // namespace raymesh::gateway
