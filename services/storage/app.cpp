#include "services/storage/app.hpp"

#include <algorithm>
#include <optional>

#include "libs/pg/project_identity.hpp"
#include "libs/rpc/server.hpp"
#include "services/storage/migration_runner.hpp"
#include "services/storage/pg_access.hpp"
#include "services/storage/probe.hpp"
#include "services/storage/query_executor.hpp"
#include "services/storage/schema.hpp"
#include "services/storage/storage_service.hpp"
#include "services/storage/table_catalog.hpp"

namespace raymesh::storage {
namespace {

pg::ProjectPoolsConfig pools_config(const Config& config) {
  pg::ProjectPoolsConfig out;
  out.max_connections = static_cast<size_t>(config.max_connections);
  out.pool.max_connections = static_cast<size_t>(config.connections_per_project);
  out.pool.max_wait = config.connection_wait;
  out.connection.max_row_bytes = config.max_reply + (1u << 20);
  return out;
}

Result<pg::Login> login_for(const Config& config, const std::string& key) {
  pg::Login login;
  login.limits.statement_timeout = config.statement_timeout;
  login.limits.lock_timeout = config.lock_timeout;
  if (key == PgAccess::kSystem) {
    login.server = config.system_url;
    login.schema = kSystemSchema;
    return login;
  }
  RAYMESH_TRY(pg::ProjectIdentity identity, pg::project_identity(key, config.project_role_secret));
  login.server = config.postgres_url;
  login.user = std::move(identity.role);
  login.password = std::move(identity.password);
  login.schema = std::move(identity.schema);
  return login;
}

MigrationRunnerConfig migrations_config(const Config& config) {
  MigrationRunnerConfig out;
  out.server_url = config.postgres_url;
  out.system_url = config.system_url;
  out.project_role_secret = config.project_role_secret;
  out.options.deadline = config.migration_timeout;
  out.options.lock_timeout = config.lock_timeout;
  out.threads = static_cast<size_t>(config.migration_threads);
  return out;
}

class StorageApp final : public App {
 public:
  StorageApp(const Config& config, host::Env& env)
      : config_(config), env_(env), probe_(env.metrics) {}

  ~StorageApp() override { stop(std::chrono::milliseconds(0)); }

  Status start() override {
    RAYMESH_CHECK_OK(check_config());
    access_.emplace(
        static_cast<size_t>(config_.pg_threads), pools_config(config_),
        [config = config_](const std::string& key) { return login_for(config, key); }, probe_);
    catalog_.emplace(*access_, CatalogLimits{}, probe_);
    executor_.emplace(*access_, *catalog_, probe_, config_.max_reply);
    migrations_.emplace(env_.actors, migrations_config(config_), *catalog_, probe_);

    rpc::ServerConfig server;
    server.name = "storage";
    server.service = "raymesh.storage.v1.Storage";
    server.address = config_.listen;
    server.credentials = env_.common.server_credentials();
    server.metrics = &env_.metrics;
    server.loops = access_->threads().loops();
    RAYMESH_TRY(server_,
                rpc::Server::start(std::move(server), storage_methods(*executor_, *migrations_)));
    // Connects, so that readiness is known before anybody asks.
    (void)catalog_->check();
    server_->set_serving(true);
    return ok_status();
  }

  std::vector<host::Check> checks() override {
    return {{"postgres", [this] { return catalog_->check(); }}};
  }

  // From the outside in: no new calls, those in flight end, then what they stood on.
  void stop(std::chrono::milliseconds grace) override {
    const auto deadline = std::chrono::steady_clock::now() + grace;
    if (server_) server_->stop(grace);
    if (migrations_) {
      migrations_->stop(std::max(std::chrono::milliseconds(0),
                                 std::chrono::duration_cast<std::chrono::milliseconds>(
                                     deadline - std::chrono::steady_clock::now())));
    }
    if (access_) access_->stop();
  }

  rpc::Server& server() override { return *server_; }
  int port() const override { return server_->port(); }

 private:
  Status check_config() const {
    auto missing = [](const char* name) {
      return Error(errors::kInvalidValue, std::string("storage: ") + name + " is missing");
    };
    if (config_.postgres_url.empty()) return missing("postgres-url");
    if (config_.system_url.empty()) return missing("system-url");
    if (config_.project_role_secret.empty()) return missing("project-role-secret");
    return ok_status();
  }

  const Config config_;
  host::Env& env_;
  Probe probe_;
  std::optional<PgAccess> access_;
  std::optional<TableCatalog> catalog_;
  std::optional<QueryExecutor> executor_;
  std::optional<MigrationRunner> migrations_;
  std::unique_ptr<rpc::Server> server_;
};

}  // namespace

void Config::declare(config::Options& options) {
  using std::chrono::hours;
  using std::chrono::milliseconds;
  using std::chrono::seconds;
  options.section("storage")
      .text("listen", &listen, "host:port of the gRPC service")
      .text("postgres-url", &postgres_url,
            "PostgreSQL server and database, without user and password")
      .secret("system-url", &system_url, "PostgreSQL, as the role raymesh_storage")
      .secret("project-role-secret", &project_role_secret,
              "What the passwords of the projects' roles are made from; the same everywhere")
      .integer("pg-threads", &pg_threads, 1, 16, "Threads that talk to PostgreSQL")
      .integer("max-connections", &max_connections, 1, 1'000,
               "Connections with PostgreSQL of this node, all projects")
      .integer("connections-per-project", &connections_per_project, 1, 64,
               "Connections with PostgreSQL of one project on this node")
      .duration("statement-timeout", &statement_timeout, milliseconds(100), hours(1),
                "How long one statement may run")
      .duration("lock-timeout", &lock_timeout, milliseconds(10), hours(1),
                "How long a statement waits for a lock")
      .duration("connection-wait", &connection_wait, milliseconds(10), seconds(60),
                "How long a request waits for a connection before it gets 503")
      .bytes("max-reply", &max_reply, 1u << 10, 64u << 20, "The JSON of one answer")
      .integer("migration-threads", &migration_threads, 1, 16, "Migrations at once")
      .duration("migration-timeout", &migration_timeout, seconds(1), hours(24),
                "How long one migration may take");
}

std::unique_ptr<App> make_app(const Config& config, host::Env& env) {
  return std::make_unique<StorageApp>(config, env);
}

host::Program program() {
  return host::make_program<Config>(
      "storage", "the storage service: the projects' tables", 9102,
      [](const Config& config, host::Env& env) { return make_app(config, env); });
}

}  // namespace raymesh::storage
