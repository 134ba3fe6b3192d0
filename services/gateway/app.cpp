#include "services/gateway/app.hpp"

#include <algorithm>
#include <future>
#include <optional>
#include <thread>
#include <vector>

#include "libs/actor/loop_unit.hpp"
#include "libs/net/listener.hpp"
#include "libs/telemetry/log.hpp"
#include "services/gateway/core.hpp"
#include "services/gateway/edge_rules.hpp"
#include "services/gateway/http_session.hpp"
#include "services/gateway/raystream_actor.hpp"
#include "services/gateway/raystream_session.hpp"

namespace raymesh::gateway {
namespace {

using namespace std::chrono_literals;

// Connections that share one thread. Each has one request under way, so that thread is not the
// limit yet, and what would wake two, here and in the services behind, wakes one.
constexpr size_t kOneThreadUpTo = 16;

constexpr char kAuth[] = "raymesh.auth.v1.Auth";
constexpr char kStorage[] = "raymesh.storage.v1.Storage";
constexpr char kCache[] = "raymesh.cache.v1.Cache";
constexpr char kRealtime[] = "raymesh.realtime.v1.Realtime";

rpc::PeerConfig peer_config(const char* service, const host::Env& env, net::IoThreads& threads) {
  rpc::PeerConfig config;
  config.service = service;
  config.metrics = &env.metrics;
  config.threads = &threads;
  return config;
}

Result<Peers> connect(const Config& config, const host::Env& env, net::IoThreads& threads) {
  const rpc::ClientCredentials credentials = env.common.client_credentials();
  auto peer = [&](const char* service, const std::vector<std::string>& endpoints) {
    rpc::PeerConfig found = peer_config(service, env, threads);
    found.endpoints = endpoints;
    return rpc::connect_peer(std::move(found), credentials);
  };
  Peers peers;
  RAYMESH_TRY(peers.auth, peer(kAuth, config.auth_peers));
  RAYMESH_TRY(peers.storage, peer(kStorage, config.storage_peers));
  RAYMESH_TRY(peers.cache, peer(kCache, config.cache_peers));
  RAYMESH_TRY(peers.realtime, peer(kRealtime, config.realtime_peers));
  return peers;
}

Peers connect(const LocalServices& services, const host::Env& env, net::IoThreads& threads) {
  auto peer = [&](const char* service, rpc::Server* server) {
    return rpc::in_process_peer(peer_config(service, env, threads), *server);
  };
  return {peer(kAuth, services.auth), peer(kStorage, services.storage),
          peer(kCache, services.cache), peer(kRealtime, services.realtime)};
}

class GatewayApp final : public App {
 public:
  /// Without `local` it connects to those that `config` names.
  GatewayApp(const Config& config, host::Env& env, std::optional<LocalServices> local)
      : config_(config), env_(env), local_(local) {}
  ~GatewayApp() override { stop(0ms); }

  Status start() override {
    RAYMESH_CHECK_OK(config_.check());
    core_ = std::make_shared<Core>(config_, env_.metrics, env_.actors);
    on_every_thread([](Worker& worker) {
      worker.actors = std::make_unique<actor::LoopUnit>(worker.core.system);
    });
    if (!config_.raystream.keys.empty()) {
      RAYMESH_TRY(auto keys, raystream::ServerKeys::parse(config_.raystream.keys));
      core_->raystream_keys.emplace(std::move(keys));
      if (config_.raystream.state_keys.empty())
        log::warn(
            "raystream sessions cannot be resumed: there is no --raystream-state-keys (make one "
            "with `raymesh raystream key create --state`)");
    }
    if (!config_.raystream.state_keys.empty()) {
      RAYMESH_TRY(auto keys, raystream::StateKeys::parse(config_.raystream.state_keys));
      core_->raystream_store.set_keys(std::move(keys));
    }
    if (!config_.tls_certificate.empty()) {
      RAYMESH_TRY(core_->tls, net::TlsContext::load(config_.tls_certificate, config_.tls_key));
    }
    if (local_) {
      core_->peers = connect(*local_, env_, core_->threads);
    } else {
      RAYMESH_TRY(core_->peers, connect(config_, env_, core_->threads));
    }
    env_.metrics.gauge_function(
        "raymesh_gateway_rate_buckets", "Keys and client addresses whose rate is remembered", {},
        [core = core_.get()] { return static_cast<double>(core->rates.buckets()); });
    auto listener =
        net::Listener::open(core_->threads,
                            {.address = config_.listen,
                             .max_connections = static_cast<size_t>(config_.max_connections),
                             .accepts_per_second = config_.accepts_per_second,
                             .one_thread_up_to = kOneThreadUpTo},
                            [core = core_.get()](net::Accepted accepted) {
                              Worker& worker = *core->workers[accepted.thread];
                              std::make_shared<HttpSession>(worker, std::move(accepted))->start();
                            });
    RAYMESH_TRY(listener_, std::move(listener));
    RAYMESH_CHECK_OK(open_raystream());
    log::info("gateway listens", {{"address", config_.listen},
                                  {"port", listener_->port()},
                                  {"tls", core_->tls != nullptr},
                                  {"threads", core_->threads.size()}});
    return ok_status();
  }

  std::vector<host::Check> checks() override {
    auto check = [](const char* name, std::shared_ptr<rpc::Peer> peer) {
      return host::Check{name, [name, peer]() -> Status {
                           if (peer->ready()) return ok_status();
                           return Error(errors::kUnavailable,
                                        std::string("no stream to ") + name + " is up");
                         }};
    };
    const Peers& peers = core_->peers;
    return {check("auth", peers.auth), check("storage", peers.storage), check("cache", peers.cache),
            check("realtime", peers.realtime)};
  }

  void stop(std::chrono::milliseconds grace) override {
    if (!core_ || stopped_) return;
    stopped_ = true;
    const auto deadline = std::chrono::steady_clock::now() + grace;
    core_->draining.store(true);
    if (listener_) listener_->close();
    if (raystream_listener_) raystream_listener_->close();
    // Idle connections go now; one that is in the middle of a request gets its answer, with
    // Connection: close.
    on_every_thread([](Worker& worker) {
      const std::vector<HttpSession*> sessions(worker.sessions.begin(), worker.sessions.end());
      for (HttpSession* session : sessions) session->close_when_idle();
      tell_all(worker, Drain{});
    });
    wait_until(deadline, [this] { return core_->open_sessions.load() == 0; });
    on_every_thread([](Worker& worker) {
      const std::vector<HttpSession*> sessions(worker.sessions.begin(), worker.sessions.end());
      for (HttpSession* session : sessions) session->abort();
      tell_all(worker, Abort{});
      worker.wheel.stop();
      worker.fences.stop();
      if (worker.index == worker.core.relay->thread()) worker.core.relay->close();
    });
    // What is still in flight has nobody who waits for it. Completions use the threads, so those
    // end last.
    const Peers& peers = core_->peers;
    for (const auto& peer : {peers.auth, peers.storage, peers.cache, peers.realtime})
      if (peer) peer->close();
    wait_until(std::chrono::steady_clock::now() + 15s, [this] { return core_->calls.load() == 0; });
    on_every_thread([](Worker& worker) { worker.actors.reset(); });
    core_->threads.stop();
  }

  int port() const override { return listener_ ? listener_->port() : 0; }
  int raystream_port() const override {
    return raystream_listener_ ? raystream_listener_->port() : 0;
  }

 private:
  Status open_raystream() {
    if (config_.raystream.listen.empty()) return ok_status();
    auto listener = net::Listener::open(
        core_->threads,
        {.address = config_.raystream.listen,
         .max_connections = static_cast<size_t>(config_.raystream.max_sessions),
         .accepts_per_second = config_.accepts_per_second},
        [core = core_.get()](net::Accepted accepted) { accept_raystream(*core, accepted); });
    RAYMESH_TRY(raystream_listener_, std::move(listener));
    log::info("gateway listens for raystream",
              {{"address", config_.raystream.listen}, {"port", raystream_listener_->port()}});
    return ok_status();
  }

  static void accept_raystream(Core& core, net::Accepted& accepted) {
    const auto address = accepted.peer.address();
    std::string client = address_text(address);
    // Without a word: a CLOSE would need a session's memory.
    if (!core.raystream_limits.open(address_bucket(client)))
      return core.raystream_probe.handshake(RaystreamProbe::Handshake::kTooMany);
    core.probe.connection_opened();
    Worker& worker = *core.workers[accepted.thread];
    const bool local =
        address.is_loopback() ||
        (address.is_v6() && address.to_v6().is_v4_mapped() && client.starts_with("127."));
    RaystreamSession::open(worker, {net::ByteStream(std::move(accepted.socket), core.tls.get()),
                                    std::move(accepted.slot),
                                    std::move(client),
                                    local,
                                    false,
                                    {},
                                    {}});
  }

  template <class Message>
  static void tell_all(Worker& worker, Message message) {
    std::vector<std::shared_ptr<RaystreamSession>> sessions;
    for (RaystreamSession* session : worker.raystream_sessions)
      sessions.push_back(session->shared_from_this());
    for (const auto& session : sessions) tell(*session, message);
  }

  template <class F>
  void on_every_thread(F f) {
    for (auto& worker : core_->workers) {
      std::promise<void> done;
      std::future<void> ran = done.get_future();
      core_->threads.post(worker->index, [&w = *worker, f, done = std::move(done)]() mutable {
        f(w);
        done.set_value();
      });
      ran.wait();
    }
  }

  // Stopping is the one place that looks again and again: twice per hundredth of a second at most.
  template <class Condition>
  static void wait_until(std::chrono::steady_clock::time_point deadline, Condition condition) {
    while (!condition() && std::chrono::steady_clock::now() < deadline)
      std::this_thread::sleep_for(5ms);
  }

  const Config config_;
  host::Env& env_;
  const std::optional<LocalServices> local_;
  std::shared_ptr<Core> core_;
  std::shared_ptr<net::Listener> listener_;
  std::shared_ptr<net::Listener> raystream_listener_;
  bool stopped_ = false;
};

}  // namespace

std::unique_ptr<App> make_app(const Config& config, host::Env& env) {
  return std::make_unique<GatewayApp>(config, env, std::nullopt);
}

std::unique_ptr<App> make_app(const Config& config, host::Env& env, const LocalServices& services) {
  return std::make_unique<GatewayApp>(config, env, services);
}

host::Program program() {
  return host::make_program<Config>(
      "gateway", "the public HTTP API", 9100,
      [](const Config& config, host::Env& env) { return make_app(config, env); });
}

}  // namespace raymesh::gateway
