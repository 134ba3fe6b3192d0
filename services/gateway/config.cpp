#include "services/gateway/config.hpp"

namespace raymesh::gateway {

using namespace std::chrono_literals;

void Config::declare(config::Options& options) {
  options.section("gateway")
      .text("listen", &listen, "address of the public port, host:port")
      .text("tls-cert", &tls_certificate, "PEM file with the public port's certificate chain")
      .text("tls-key", &tls_key, "PEM file with its key")
      .integer("threads", &threads, 0, 256, "I/O threads; 0: one per core")
      .list("auth-peers", &auth_peers, "endpoints of the auth service")
      .list("storage-peers", &storage_peers, "endpoints of the storage service")
      .list("cache-peers", &cache_peers, "endpoints of the cache service")
      .list("realtime-peers", &realtime_peers, "endpoints of the realtime service")
      .integer("max-connections", &max_connections, 1, 1'000'000, "open client connections")
      .number("accepts-per-second", &accepts_per_second, 0, 1e6, "new connections; 0: no bound")
      .bytes("max-header-bytes", &max_header_bytes, 1 << 10, 256 << 10, "request line and headers")
      .integer("max-header-fields", &max_header_fields, 10, 1'000, "headers of one request")
      .bytes("max-body", &max_body, 1 << 10, 14 << 20, "body of one request")
      .bytes("max-migration", &max_migration, 1 << 10, 14 << 20, "body of db/migrate")
      .bytes("max-body-memory", &max_body_memory, 1 << 20, uint64_t{1} << 40,
             "memory for bodies that are being received")
      .duration("header-timeout", &header_timeout, 10ms, 10min, "for a request's headers")
      .duration("body-timeout", &body_timeout, 10ms, 60min, "for a request's body")
      .duration("idle-timeout", &idle_timeout, 10ms, 60min, "between requests of a connection")
      .duration("write-timeout", &write_timeout, 10ms, 60min, "for a client to take an answer")
      .duration("timer-tick", &timer_tick, 1ms, 10s, "how exact these timeouts are")
      .duration("call-timeout", &call_timeout, 100ms, 60min, "for a service to answer")
      .duration("migration-timeout", &migration_timeout, 100ms, 60min, "for a migration")
      .integer("trusted-proxy-hops", &trusted_proxy_hops, 0, 16,
               "proxies in front that append to X-Forwarded-For; 0: believe the connection")
      .boolean("rate-limits", &rate_limits, "limit requests per key and per client address")
      .number("key-rate", &key_rate, 0.01, 1e9, "requests per second of an API key")
      .number("key-burst", &key_burst, 1, 1e9, "requests at once of an API key")
      .number("address-rate", &address_rate, 0.01, 1e9,
              "requests per second of an API key from one client address")
      .number("address-burst", &address_burst, 1, 1e9,
              "requests at once of an API key from one client address")
      .integer("max-rate-buckets", &max_rate_buckets, 100, 10'000'000,
               "keys and addresses whose rate is remembered")
      .boolean("access-log", &access_log, "one log line for each request");
  raystream.declare(options);
}

Status Config::check() const {
  if (tls_certificate.empty() != tls_key.empty())
    return Error(errors::kInvalidRequest, "--tls-cert and --tls-key belong together: give both");
  return raystream.check();
}

}  // namespace raymesh::gateway
