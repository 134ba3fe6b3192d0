#include "services/cache/app.hpp"

#include <caf/actor.hpp>
#include <caf/actor_system.hpp>
#include <caf/send.hpp>
#include <future>
#include <memory>
#include <optional>
#include <utility>

#include "libs/net/io_threads.hpp"
#include "libs/redis/store.hpp"
#include "libs/rpc/server.hpp"
#include "services/cache/cache_service.hpp"
#include "services/cache/entries.hpp"
#include "services/cache/leases.hpp"
#include "services/cache/probe.hpp"
#include "services/cache/scripts.hpp"
#include "services/cache/sessions.hpp"
#include "services/cache/usage_actor.hpp"

namespace raymesh::cache {
namespace {

class CacheApp final : public App {
 public:
  CacheApp(const Config& config, host::Env& env)
      : config_(config), env_(env), probe_(env.metrics), io_(1, "redis") {}

  ~CacheApp() override { stop(std::chrono::milliseconds(0)); }

  Status start() override {
    redis::ClientConfig client;
    client.client_name = "raymesh-cache";
    client.scripts = {&change_script(), &measure_script()};
    RAYMESH_TRY(values_, open("cache", config_.cache_urls, config_.cache_password, client));
    client.scripts = {&lease_script(), &put_session_script(), &confirm_sessions_script(),
                      &end_session_script()};
    RAYMESH_TRY(state_, open("state", config_.state_urls, config_.state_password, client));

    EntryLimits limits;
    limits.max_value_bytes = config_.max_value;
    limits.quota_bytes = config_.quota;
    usage_ = spawn_usage_actor(env_.actors, *values_, probe_);
    entries_.emplace(*values_, limits, probe_,
                     [usage = usage_](const std::string& project, size_t primary) {
                       caf::anon_send(usage, MeasureUsage{project, primary});
                     });
    leases_.emplace(*state_, probe_);
    sessions_.emplace(*state_, probe_);

    rpc::ServerConfig server;
    server.name = "cache";
    server.service = "raymesh.cache.v1.Cache";
    server.address = config_.listen;
    server.credentials = env_.common.server_credentials();
    server.metrics = &env_.metrics;
    server.loops = io_.loops();
    RAYMESH_TRY(server_, rpc::Server::start(std::move(server),
                                            cache_methods(*entries_, *leases_, *sessions_)));
    server_->set_serving(true);
    return ok_status();
  }

  std::vector<host::Check> checks() override {
    return {{"redis cache", [this] { return values_->ready(); }},
            {"redis state", [this] { return state_->ready(); }}};
  }

  // From the outside in: no new calls, those in flight end, then what they stood on.
  void stop(std::chrono::milliseconds grace) override {
    if (server_) server_->stop(grace);
    end_usage_actor();
    if (std::exchange(stopped_, true)) return;
    if (values_) values_->close();
    if (state_) state_->close();
    // Closing answers what is open, on the I/O thread, and what is answered is still there.
    std::promise<void> answered;
    io_.post(0, [&answered] { answered.set_value(); });
    answered.get_future().wait();
    io_.stop();
  }

  rpc::Server& server() override { return *server_; }
  int port() const override { return server_->port(); }

 private:
  // Waits for it: it may be at work with the store, which goes next.
  void end_usage_actor() {
    if (!usage_) return;
    auto ended = std::make_shared<std::promise<void>>();
    usage_->attach_functor([ended](const caf::error&) { ended->set_value(); });
    caf::anon_send_exit(usage_, caf::exit_reason::user_shutdown);
    usage_ = nullptr;
    ended->get_future().wait();
  }

  Result<std::unique_ptr<redis::Store>> open(const std::string& name,
                                             const std::vector<std::string>& urls,
                                             const std::string& password,
                                             const redis::ClientConfig& client) {
    auto store = redis::Store::open(io_.context(0), urls, password, client);
    if (!store.ok())
      return Error(errors::kInvalidValue, "cache: " + name + "-url: " + store.error().message);
    probe_.watch(name, **store);
    return store;
  }

  const Config config_;
  host::Env& env_;
  Probe probe_;
  net::IoThreads io_;
  std::unique_ptr<redis::Store> values_;
  std::unique_ptr<redis::Store> state_;
  caf::actor usage_;
  std::optional<Entries> entries_;
  std::optional<Leases> leases_;
  std::optional<Sessions> sessions_;
  std::unique_ptr<rpc::Server> server_;
  bool stopped_ = false;
};

}  // namespace

void Config::declare(config::Options& options) {
  options.section("cache")
      .text("listen", &listen, "host:port of the gRPC service")
      .list("cache-url", &cache_urls,
            "Redis primaries for the entries of projects: redis://host:port, unix:/path or "
            "host:port; they may evict (maxmemory-policy allkeys-lru)")
      .secret("cache-password", &cache_password, "Password of those --cache-url that name none")
      .list("state-url", &state_urls,
            "Redis primaries for the cluster's own state; they must not evict (noeviction)")
      .secret("state-password", &state_password, "Password of those --state-url that name none")
      .bytes("quota", &quota, 0, uint64_t{1} << 50,
             "Memory that the entries of one project may use on each primary, by estimate; 0 for "
             "no bound")
      .bytes("max-value", &max_value, 1, 16u << 20, "The largest value");
}

std::unique_ptr<App> make_app(const Config& config, host::Env& env) {
  return std::make_unique<CacheApp>(config, env);
}

host::Program program() {
  return host::make_program<Config>(
      "cache", "the cache service: values, hashes and sets of projects; leases of rate limits",
      9103, [](const Config& config, host::Env& env) { return make_app(config, env); });
}

}  // namespace raymesh::cache
