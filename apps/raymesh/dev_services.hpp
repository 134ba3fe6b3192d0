// The five services of `raymesh dev`, in this process: each has the App and the options that its
// own program has, and the gateway calls the others over connections within the process. The
// command's thread.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "apps/raymesh/dev_options.hpp"
#include "apps/raymesh/dev_secrets.hpp"
#include "apps/raymesh/dev_stores.hpp"
#include "libs/host/app.hpp"
#include "services/auth/app.hpp"
#include "services/cache/app.hpp"
#include "services/gateway/app.hpp"
#include "services/realtime/app.hpp"
#include "services/storage/app.hpp"

namespace raymesh::cli {

struct ServiceConfigs {
  auth::Config auth;
  storage::Config storage;
  cache::Config cache;
  realtime::Config realtime;
  gateway::Config gateway;

  /// With what fits a laptop as defaults.
  ServiceConfigs();
  /// The services' own options: --storage-statement-timeout, RAYMESH_STORAGE_STATEMENT_TIMEOUT.
  void declare(config::Options& options);
  /// Addresses, logins and keys, which are ours to give.
  void wire(const DevOptions& options, const DevSecrets& secrets, const DevStores& stores);
};

class DevServices {
 public:
  /// `env` outlives the services.
  explicit DevServices(host::Env& env) : env_(env) {}
  ~DevServices() { stop(std::chrono::milliseconds(0)); }

  Status start(const ServiceConfigs& configs);
  /// Of all services, named "<service> <dependency>".
  std::vector<host::Check> checks();
  std::vector<host::Page> pages();
  /// From the outside in.
  void stop(std::chrono::milliseconds grace);

  int port() const { return gateway_->port(); }
  int raystream_port() const { return gateway_->raystream_port(); }
  int realtime_port() const { return realtime_->public_port(); }

 private:
  host::Env& env_;
  std::unique_ptr<auth::App> auth_;
  std::unique_ptr<storage::App> storage_;
  std::unique_ptr<cache::App> cache_;
  std::unique_ptr<realtime::App> realtime_;
  std::unique_ptr<gateway::App> gateway_;
  bool stopped_ = false;
};

}  // namespace raymesh::cli
