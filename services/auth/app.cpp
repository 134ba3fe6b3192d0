#include "services/auth/app.hpp"

#include <caf/actor.hpp>
#include <caf/send.hpp>
#include <functional>
#include <memory>
#include <optional>

#include "libs/crypto/jwt.hpp"
#include "libs/crypto/key_ring.hpp"
#include "libs/rpc/server.hpp"
#include "services/auth/accounts.hpp"
#include "services/auth/auth_root_actor.hpp"
#include "services/auth/auth_service.hpp"
#include "services/auth/database.hpp"
#include "services/auth/password_hasher.hpp"
#include "services/auth/probe.hpp"

namespace raymesh::auth {
namespace {

DatabaseConfig database_config(const Config& config) {
  DatabaseConfig out;
  out.url = config.postgres_url;
  out.sessions = static_cast<size_t>(config.postgres_sessions);
  return out;
}

HasherConfig hasher_config(const Config& config) {
  HasherConfig out;
  out.threads = static_cast<size_t>(config.hash_threads);
  out.max_queued = static_cast<size_t>(config.hash_queue);
  out.parameters.memory_kib = static_cast<uint32_t>(config.hash_memory >> 10);
  out.parameters.passes = static_cast<uint32_t>(config.hash_passes);
  return out;
}

ThrottleConfig throttle_config(const Config& config) {
  ThrottleConfig out;
  out.account_burst = static_cast<double>(config.login_burst);
  out.account_refill = config.login_refill;
  out.address_burst = static_cast<double>(config.login_address_burst);
  out.address_refill = config.login_address_refill;
  return out;
}

template <class Queue>
std::function<double()> queue_length(const std::shared_ptr<Queue>& queue) {
  return [weak = std::weak_ptr<Queue>(queue)] {
    auto alive = weak.lock();
    return alive ? static_cast<double>(alive->queued()) : 0.0;
  };
}

class AuthApp final : public App {
 public:
  AuthApp(const Config& config, host::Env& env) : config_(config), env_(env), probe_(env.metrics) {}

  ~AuthApp() override { stop(std::chrono::milliseconds(0)); }

  Status start() override {
    if (config_.postgres_url.empty())
      return Error(errors::kInvalidValue, "auth: postgres-url is missing");
    auto keys = crypto::KeyRing::parse(config_.token_keys);
    if (!keys.ok())
      return Error(errors::kInvalidValue, "auth: token-keys: " + keys.error().message);
    keys_ = *std::move(keys);

    database_ = std::make_shared<Database>(env_.actors, database_config(config_), probe_);
    hasher_ = std::make_shared<PasswordHasher>(env_.actors, hasher_config(config_), probe_);
    root_ = spawn_auth_root(env_.actors, throttle_config(config_), *database_, probe_);
    accounts_.emplace(
        Accounts::Dependencies{*database_, *hasher_, probe_, root_, *keys_,
                               std::chrono::duration_cast<std::chrono::seconds>(config_.token_ttl),
                               crypto::jwt::unix_now});
    probe_.watch_queues(queue_length(hasher_), queue_length(database_));

    rpc::ServerConfig server;
    server.name = "auth";
    server.service = "raymesh.auth.v1.Auth";
    server.address = config_.listen;
    server.credentials = env_.common.server_credentials();
    server.metrics = &env_.metrics;
    RAYMESH_TRY(server_, rpc::Server::start(std::move(server), auth_methods(*accounts_)));
    // The first statement connects, so that readiness is known before anybody asks.
    (void)database_->state();
    server_->set_serving(true);
    return ok_status();
  }

  std::vector<host::Check> checks() override {
    return {{"postgres", [this] { return database_->state(); }}};
  }

  // From the outside in: no new calls, those in flight end, then what they stood on.
  void stop(std::chrono::milliseconds grace) override {
    const auto deadline = std::chrono::steady_clock::now() + grace;
    auto left = [&] {
      return std::max(std::chrono::milliseconds(0),
                      std::chrono::duration_cast<std::chrono::milliseconds>(
                          deadline - std::chrono::steady_clock::now()));
    };
    if (server_) server_->stop(grace);
    if (root_) caf::anon_send_exit(root_, caf::exit_reason::user_shutdown);
    root_ = nullptr;
    if (hasher_) hasher_->stop(left());
    if (database_) database_->stop(left());
  }

  rpc::Server& server() override { return *server_; }
  int port() const override { return server_->port(); }

 private:
  const Config config_;
  host::Env& env_;
  Probe probe_;
  std::optional<crypto::KeyRing> keys_;
  // Shared with nobody but the gauges, which look whether they are still there: the registry
  // outlives the app.
  std::shared_ptr<Database> database_;
  std::shared_ptr<PasswordHasher> hasher_;
  caf::actor root_;
  std::optional<Accounts> accounts_;
  std::unique_ptr<rpc::Server> server_;
};

}  // namespace

void Config::declare(config::Options& options) {
  using std::chrono::hours;
  using std::chrono::milliseconds;
  using std::chrono::seconds;
  options.section("auth")
      .text("listen", &listen, "host:port of the gRPC service")
      .secret("postgres-url", &postgres_url, "PostgreSQL, as the role raymesh_auth")
      .integer("postgres-sessions", &postgres_sessions, 1, 64, "Sessions with PostgreSQL")
      .secret_list("token-keys", &token_keys,
                   "kid:secret pairs for access tokens; the first one signs, all are accepted "
                   "(docs/security/tokens.md)")
      .duration("token-ttl", &token_ttl, seconds(1), hours(24 * 365),
                "How long an access token and its session last")
      .integer("hash-threads", &hash_threads, 1, 64,
               "Threads that hash passwords, 19 MiB of memory each")
      .integer("hash-queue", &hash_queue, 1, 100'000,
               "Passwords that may wait for a thread; above it logins get 429")
      .bytes("hash-memory", &hash_memory, 19'456 << 10, 65'536 << 10, "Argon2id's memory")
      .integer("hash-passes", &hash_passes, 1, 8, "Argon2id's passes")
      .integer("login-burst", &login_burst, 1, 1'000'000,
               "Failed logins of one account before it has to wait")
      .duration("login-refill", &login_refill, milliseconds(1), hours(24),
                "After the burst, one more attempt each")
      .integer("login-address-burst", &login_address_burst, 1, 1'000'000,
               "Failed logins from one client address before it has to wait")
      .duration("login-address-refill", &login_address_refill, milliseconds(1), hours(24),
                "After that burst, one more attempt each");
}

std::unique_ptr<App> make_app(const Config& config, host::Env& env) {
  return std::make_unique<AuthApp>(config, env);
}

host::Program program() {
  return host::make_program<Config>(
      "auth", "the auth service: projects, API keys, users and their tokens", 9101,
      [](const Config& config, host::Env& env) { return make_app(config, env); });
}

}  // namespace raymesh::auth
