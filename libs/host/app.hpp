// The shape of every service. A service is a library with a Config (declares its options) and an
// App (start, checks, stop); its main.cpp hands them to `run`. `raymesh dev` makes the same Apps
// itself.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "libs/base/result.hpp"
#include "libs/config/options.hpp"
#include "libs/rpc/credentials.hpp"
#include "libs/telemetry/metrics.hpp"

namespace caf {
class actor_system;
}

namespace raymesh::rpc {
class Server;
}

namespace raymesh::host {

/// The options that every process has (section "").
struct CommonConfig {
  std::string log_level = "info";
  std::string
      ops_listen;     // "host:port"; empty: none. The service's default is set before declare().
  rpc::TlsFiles tls;  // between processes: --mesh-cert, --mesh-key, --mesh-ca
  std::string cluster_key;  // --cluster-key, --cluster-key-file
  /// --service-token-keys: "kid:secret", the first one signs.
  std::vector<std::string> service_token_keys;
  std::chrono::milliseconds drain{25'000};  // --drain: how long a clean stop may take
  /// --shutdown-delay: how long a stopping process goes on serving with its readiness off, so that
  /// load balancers notice first.
  std::chrono::milliseconds shutdown_delay{0};

  void declare(config::Options& options);
  rpc::ClientCredentials client_credentials() const { return {tls, cluster_key}; }
  rpc::ServerCredentials server_credentials() const {
    return {tls, cluster_key, service_token_keys};
  }
};

/// What a process lends to the apps in it.
struct Env {
  const CommonConfig& common;
  metrics::Registry& metrics;
  caf::actor_system& actors;
};

/// One dependency of a service, asked by /readyz. Must not block: report what is known.
struct Check {
  std::string name;
  std::function<Status()> ready;
};

/// Something for operators on the ops port, beside the metrics. Made on the ops thread.
struct Page {
  std::string path;  // "/channels"
  std::function<std::string()> json;
};

class App {
 public:
  virtual ~App() = default;
  virtual Status start() = 0;
  virtual std::vector<Check> checks() = 0;
  /// After start(); callable until the app has gone.
  virtual std::vector<Page> pages() { return {}; }
  /// Readiness is off already: stop accepting, finish what is in flight within `grace`, end. Called
  /// once.
  virtual void stop(std::chrono::milliseconds grace) = 0;
};

/// A service behind the gateway.
class ServiceApp : public App {
 public:
  /// What `raymesh dev` connects to. After start().
  virtual rpc::Server& server() = 0;
  /// Of the gRPC server, when `listen` asked for port 0.
  virtual int port() const = 0;
};

struct Program {
  std::string name;     // "raymesh-storage"
  std::string section;  // "storage"
  std::string summary;  // for --help
  int ops_port;         // default of --ops-listen, on 127.0.0.1
  std::function<void(config::Options&)> declare;
  std::function<std::unique_ptr<App>(Env&)> make;
};

/// The program of a service. `make` takes a `const Config&` and an Env, and gives a unique_ptr to
/// its App; Config has `declare(config::Options&)`.
template <class Config, class Make>
Program make_program(std::string section, std::string summary, int ops_port, Make make) {
  auto config = std::make_shared<Config>();
  Program program;
  program.name = "raymesh-" + section;
  program.section = std::move(section);
  program.summary = std::move(summary);
  program.ops_port = ops_port;
  program.declare = [config](config::Options& options) { config->declare(options); };
  program.make = [config, make](Env& env) -> std::unique_ptr<App> { return make(*config, env); };
  return program;
}

/// Sections of a configuration file that some binary of raymesh reads.
const std::vector<std::string>& known_sections();

/// Parses the configuration, sets up logs, metrics, actors and the ops port, starts the app, waits
/// for SIGTERM or SIGINT, stops it. Returns the process's exit code: 0 clean, 1 failed while
/// running, 2 bad configuration.
int run(int argc, char** argv, const Program& program);

/// /metrics, /healthz and /readyz on one address. Own thread. It answers GET and HEAD only, tells
/// nothing that is secret and may listen outside loopback, where Prometheus and the kubelet are.
class OpsServer {
 public:
  static Result<std::unique_ptr<OpsServer>> start(const std::string& address,
                                                  metrics::Registry& registry,
                                                  std::vector<Check> checks);
  virtual ~OpsServer() = default;
  virtual int port() const = 0;
  /// Replaces the checks, once the app has started.
  virtual void set_checks(std::vector<Check> checks) = 0;
  virtual void set_pages(std::vector<Page> pages) = 0;
  /// /readyz answers 503 from now on.
  virtual void set_draining() = 0;
};

}  // namespace raymesh::host
