#include "apps/raymesh/dev_stores.hpp"

#include "libs/pg/provisioner.hpp"
#include "libs/pg/session.hpp"
#include "libs/pg/system_migrator.hpp"
#include "services/auth/key_store.hpp"
#include "services/auth/project_store.hpp"
#include "services/auth/schema.hpp"
#include "services/storage/schema.hpp"

namespace raymesh::cli {

Result<std::unique_ptr<DevStores>> DevStores::start(DataDir& folder, const DevOptions& options,
                                                    const DevSecrets& secrets,
                                                    std::function<void()> given_up) {
  auto stores = std::unique_ptr<DevStores>(new DevStores);
  RAYMESH_CHECK_OK(stores->begin(folder, options, secrets, given_up));
  RAYMESH_CHECK_OK(stores->wait_ready());
  return stores;
}

Status DevStores::begin(DataDir& folder, const DevOptions& options, const DevSecrets& secrets,
                        const std::function<void()>& given_up) {
  RAYMESH_TRY(const auto sockets, folder.socket_folder());
  // Redis first: it comes up while initdb runs.
  if (options.redis_urls.empty()) {
    auto begin_redis = [&](const std::string& name, bool evicts) {
      return PrivateRedis::begin(
          folder, {name, options.redis_program, secrets.redis, sockets, evicts, given_up});
    };
    RAYMESH_TRY(private_cache_, begin_redis("cache", true));
    RAYMESH_TRY(private_state_, begin_redis("state", false));
    cache_ = {private_cache_->url(), secrets.redis};
    state_ = {private_state_->url(), secrets.redis};
  } else {
    cache_.url = options.redis_urls.front();
    state_.url = options.redis_urls.back();
  }
  if (options.postgres_url.empty()) {
    PrivatePostgres::Config config;
    config.programs = options.postgres_programs;
    config.password = secrets.postgres_admin;
    config.sockets = sockets;
    config.throw_away = options.ephemeral;
    config.given_up = given_up;
    RAYMESH_TRY(postgres_, PrivatePostgres::begin(folder, std::move(config)));
    postgres_url_ = postgres_->admin_url();
  } else {
    postgres_url_ = options.postgres_url;
  }
  return ok_status();
}

Status DevStores::wait_ready() {
  if (postgres_) RAYMESH_CHECK_OK(postgres_->wait_ready());
  if (private_cache_) RAYMESH_CHECK_OK(private_cache_->wait_ready());
  if (private_state_) RAYMESH_CHECK_OK(private_state_->wait_ready());
  return ok_status();
}

void DevStores::stop(std::chrono::milliseconds grace) {
  if (private_cache_) private_cache_->stop(grace);
  if (private_state_) private_state_->stop(grace);
  if (postgres_) postgres_->stop(grace);
}

Status prepare_database(const std::string& postgres_url, const DevSecrets& secrets,
                        const std::string& project, const std::string& api_key) {
  auto migrated = pg::run_system_migrations(
      postgres_url, {{auth::kSystemSchema, secrets.auth_role, auth::system_migrations()},
                     {storage::kSystemSchema, secrets.storage_role, storage::system_migrations()}});
  if (!migrated.ok()) return std::move(migrated).error();
  RAYMESH_CHECK_OK(pg::provision_project(postgres_url, project, secrets.project_roles));
  RAYMESH_TRY(auto session, pg::Session::connect(postgres_url));
  auth::ProjectStore projects(session);
  RAYMESH_TRY(const bool exists, projects.exists(project));
  if (!exists) {
    auto created = projects.create(project, "", {});
    if (!created.ok()) return std::move(created).error();
  }
  auth::NewKey key;
  key.project_id = project;
  key.name = "raymesh dev";
  key.development = api_key == kWellKnownKey;
  auto ensured = auth::KeyStore(session).ensure(key, api_key);
  if (!ensured.ok()) return std::move(ensured).error();
  return ok_status();
}

}  // namespace raymesh::cli
