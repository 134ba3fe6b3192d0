#include "libs/host/app.hpp"

namespace raymesh::host {

void CommonConfig::declare(config::Options& options) {
  using std::chrono::hours;
  using std::chrono::milliseconds;
  options.section("")
      .choice("log-level", &log_level, {"debug", "info", "warn", "error"},
              "Which lines are logged (JSON, on standard error)")
      .text(
          "ops-listen", &ops_listen,
          "host:port of /metrics, /healthz and /readyz, for Prometheus and probes; may be outside "
          "loopback; empty for none")
      .text("mesh-cert", &tls.certificate,
            "PEM certificate of this process for TLS between processes; its first DNS name, "
            "<role>.raymesh, is its identity")
      .text("mesh-key", &tls.key, "PEM key of --mesh-cert")
      .text("mesh-ca", &tls.authority, "PEM certificate of the authority that signed all of them")
      .secret("cluster-key", &cluster_key,
              "Shared by the processes of a cluster on one machine, in place of certificates; "
              "loopback only")
      .secret_list(
          "service-token-keys", &service_token_keys,
          "kid:secret pairs that service tokens are checked with (docs/security/tokens.md); "
          "without any, no service token is accepted")
      .duration("drain", &drain, milliseconds(0), hours(1),
                "How long a clean stop may take after SIGTERM")
      .duration("shutdown-delay", &shutdown_delay, milliseconds(0), hours(1),
                "How long to go on serving after SIGTERM with /readyz at 503, so that load "
                "balancers notice before connections are refused");
}

const std::vector<std::string>& known_sections() {
  static const auto* names =
      new std::vector<std::string>{"gateway", "auth", "storage", "cache", "realtime", "dev"};
  return *names;
}

}  // namespace raymesh::host
