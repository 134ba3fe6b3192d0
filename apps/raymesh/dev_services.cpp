#include "apps/raymesh/dev_services.hpp"

#include "libs/base/host_port.hpp"
#include "services/auth/schema.hpp"
#include "services/storage/schema.hpp"

namespace raymesh::cli {
namespace {

// So generous that a laptop's tests and benchmarks never meet them.
constexpr double kNoLimit = 1e6;

std::string address(const std::string& host, int64_t port) {
  return HostPort{host, static_cast<uint16_t>(port)}.to_string();
}

}  // namespace

ServiceConfigs::ServiceConfigs() {
  gateway.key_rate = gateway.key_burst = kNoLimit;
  gateway.address_rate = gateway.address_burst = kNoLimit;
  gateway.raystream.address_handshake_rate = gateway.raystream.address_handshake_burst = kNoLimit;
  gateway.raystream.handshake_rate = kNoLimit;
  gateway.raystream.max_unattached_per_address = gateway.raystream.max_unattached;
}

void ServiceConfigs::declare(config::Options& options) {
  auth.declare(options);
  storage.declare(options);
  cache.declare(options);
  realtime.declare(options);
  gateway.declare(options);
}

void ServiceConfigs::wire(const DevOptions& options, const DevSecrets& secrets,
                          const DevStores& stores) {
  const std::string& postgres = stores.postgres_url();
  auth.listen = "";
  auth.postgres_url = with_login(postgres, auth::kSystemSchema, secrets.auth_role);
  if (auth.token_keys.empty()) auth.token_keys = {secrets.access_tokens};

  storage.listen = "";
  storage.postgres_url = with_login(postgres, "", "");
  storage.system_url = with_login(postgres, storage::kSystemSchema, secrets.storage_role);
  storage.project_role_secret = secrets.project_roles;

  cache.listen = "";
  cache.cache_urls = {stores.cache().url};
  cache.cache_password = stores.cache().password;
  cache.state_urls = {stores.state().url};
  cache.state_password = stores.state().password;

  realtime.listen = "";
  realtime.public_listen = address(options.listen, options.realtime_port);
  if (realtime.token_keys.empty()) realtime.token_keys = {secrets.realtime_tokens};

  gateway.listen = address(options.listen, options.port);
  gateway.raystream.listen = address(options.listen, options.raystream_port);
  if (gateway.raystream.keys.empty()) gateway.raystream.keys = {secrets.raystream_key};
  if (gateway.raystream.state_keys.empty())
    gateway.raystream.state_keys = {secrets.raystream_state};
}

Status DevServices::start(const ServiceConfigs& configs) {
  auth_ = auth::make_app(configs.auth, env_);
  storage_ = storage::make_app(configs.storage, env_);
  cache_ = cache::make_app(configs.cache, env_);
  realtime_ = realtime::make_app(configs.realtime, env_);
  RAYMESH_CHECK_OK(auth_->start());
  RAYMESH_CHECK_OK(storage_->start());
  RAYMESH_CHECK_OK(cache_->start());
  RAYMESH_CHECK_OK(realtime_->start());
  const gateway::LocalServices services{&auth_->server(), &storage_->server(), &cache_->server(),
                                        &realtime_->server()};
  gateway_ = gateway::make_app(configs.gateway, env_, services);
  return gateway_->start();
}

std::vector<host::Check> DevServices::checks() {
  std::vector<host::Check> all;
  auto add = [&all](const std::string& service, host::App& app) {
    for (host::Check& check : app.checks())
      all.push_back({service + " " + check.name, std::move(check.ready)});
  };
  add("gateway", *gateway_);
  add("auth", *auth_);
  add("storage", *storage_);
  add("cache", *cache_);
  add("realtime", *realtime_);
  return all;
}

std::vector<host::Page> DevServices::pages() {
  std::vector<host::Page> all;
  for (host::App* app : std::initializer_list<host::App*>{
           gateway_.get(), auth_.get(), storage_.get(), cache_.get(), realtime_.get()})
    for (host::Page& page : app->pages()) all.push_back(std::move(page));
  return all;
}

void DevServices::stop(std::chrono::milliseconds grace) {
  if (std::exchange(stopped_, true)) return;
  if (gateway_) gateway_->stop(grace);
  for (host::App* app : std::initializer_list<host::App*>{realtime_.get(), cache_.get(),
                                                          storage_.get(), auth_.get()})
    if (app != nullptr) app->stop(grace);
}

}  // namespace raymesh::cli
