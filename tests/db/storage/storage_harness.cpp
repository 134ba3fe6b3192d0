#include "tests/db/storage/storage_harness.hpp"

#include <sstream>
#include <stdexcept>

#include "libs/pg/project_identity.hpp"
#include "libs/pg/provisioner.hpp"
#include "libs/pg/session.hpp"
#include "libs/pg/system_migrator.hpp"
#include "services/storage/schema.hpp"

namespace raymesh::testing {
namespace {

PostgresServer& server() {
  return PostgresServer::shared();
}

void make_system_schema() {
  static const bool kDone = [] {
    auto applied = pg::run_system_migrations(
        server().admin_url(),
        {{storage::kSystemSchema, kSystemPassword, storage::system_migrations()}});
    if (!applied.ok()) throw std::runtime_error(applied.error().message);
    return true;
  }();
  (void)kDone;
}

Result<pg::Login> login_for(const pg::SessionLimits& limits, const std::string& key) {
  pg::Login login;
  login.limits = limits;
  login.server = server().server_url();
  if (key == storage::PgAccess::kSystem) {
    login.user = storage::kSystemSchema;
    login.password = kSystemPassword;
    login.schema = storage::kSystemSchema;
    return login;
  }
  RAYMESH_TRY(auto identity, pg::project_identity(key, kRoleSecret));
  login.user = identity.role;
  login.password = identity.password;
  login.schema = identity.schema;
  return login;
}

}  // namespace

TestProject TestProject::create(const std::string& id) {
  make_system_schema();
  const Status made = pg::provision_project(server().admin_url(), id, kRoleSecret);
  if (!made.ok()) throw std::runtime_error(made.error().message);
  return {id, "p_" + id};
}

void TestProject::execute(const std::string& sql) const {
  server().execute("SET ROLE \"raymesh_p_" + id + "\"; SET search_path = \"" + schema + "\"; " +
                   sql);
}

void TestProject::raise_epoch() const {
  server().execute(
      "UPDATE raymesh_storage.projects SET schema_epoch = schema_epoch + 1 WHERE project_id = '" +
      id + "'");
}

StorageHarness::StorageHarness(HarnessOptions options) {
  make_system_schema();
  access_ = std::make_unique<storage::PgAccess>(
      1, options.pools,
      [limits = options.session](const std::string& key) { return login_for(limits, key); },
      probe_);
  catalog_ = std::make_unique<storage::TableCatalog>(*access_, options.catalog, probe_);
  executor_ = std::make_unique<storage::QueryExecutor>(*access_, *catalog_, probe_,
                                                       options.max_reply_bytes);
}

StorageHarness::~StorageHarness() {
  access_->stop();
}

std::future<Result<std::string>> StorageHarness::submit(const TestProject& project,
                                                        std::string operation, std::string table,
                                                        std::string options, std::string key,
                                                        std::string user) {
  auto call = std::make_shared<rpc::Call>();
  call->project = project.id;
  call->user = std::move(user);
  call->deadline = rpc::Clock::now() + std::chrono::seconds(60);
  auto promise = std::make_shared<std::promise<Result<std::string>>>();
  auto future = promise->get_future();
  executor_->run({call, std::move(operation), std::move(table), std::move(options), std::move(key),
                  [promise](Result<std::string> r) { promise->set_value(std::move(r)); }});
  return future;
}

std::string StorageHarness::text(const TestProject& project, std::string operation,
                                 std::string table, std::string options) {
  auto result = run(project, std::move(operation), std::move(table), std::move(options));
  if (result.ok()) return *result;
  return std::string(result.error().code()) + ": " + result.error().message;
}

std::string StorageHarness::code(const TestProject& project, std::string operation,
                                 std::string table, std::string options) {
  auto result = run(project, std::move(operation), std::move(table), std::move(options));
  return result.ok() ? "ok" : std::string(result.error().code());
}

double StorageHarness::metric(const std::string& name) const {
  std::istringstream lines(registry_->render());
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with(name + " ")) return std::stod(line.substr(name.size() + 1));
  }
  throw std::runtime_error("no metric " + name);
}

}  // namespace raymesh::testing
