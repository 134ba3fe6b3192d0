// The gateway: configuration, wiring, start and stop. Owned by host::run or `raymesh dev`; one
// thread.
#pragma once

#include <memory>

#include "libs/host/app.hpp"
#include "services/gateway/config.hpp"
#include "services/gateway/peers.hpp"

namespace raymesh::gateway {

class App : public host::App {
 public:
  /// Of the public port, when `listen` asked for port 0. After start().
  virtual int port() const = 0;
  /// The same of raystream's TCP port; 0: there is none.
  virtual int raystream_port() const = 0;
};

/// Connects to the services that `config` names.
std::unique_ptr<App> make_app(const Config& config, host::Env& env);
/// `raymesh dev`: connects to services in this process.
std::unique_ptr<App> make_app(const Config& config, host::Env& env, const LocalServices& services);

/// For main.cpp.
host::Program program();

}  // namespace raymesh::gateway
