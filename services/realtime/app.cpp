#include "services/realtime/app.hpp"

#include <optional>

#include "libs/base/host_port.hpp"
#include "libs/crypto/random.hpp"
#include "libs/net/tls_context.hpp"
#include "libs/rpc/server.hpp"
#include "libs/telemetry/log.hpp"
#include "services/realtime/other_nodes.hpp"
#include "services/realtime/realtime_node.hpp"
#include "services/realtime/realtime_service.hpp"
#include "services/realtime/redis_broker.hpp"

namespace raymesh::realtime {
namespace {

// What is kept of the grace period for the gRPC server's own stop, and of that for the broker's.
constexpr std::chrono::milliseconds kServerGrace{2'000};
constexpr std::chrono::milliseconds kBrokerGrace{500};
// On the ops port's page.
constexpr size_t kHotChannels = 100;

NodeConfig node_config(const Config& config) {
  NodeConfig out;
  out.listen = config.public_listen;
  out.threads = static_cast<size_t>(config.threads);
  out.limits.max_connections = static_cast<size_t>(config.max_connections);
  out.limits.max_channels = static_cast<size_t>(config.max_channels);
  out.limits.max_connection_channels = static_cast<size_t>(config.max_connection_channels);
  out.connection_limits = {static_cast<uint64_t>(config.max_identity_connections),
                           static_cast<uint64_t>(config.max_project_connections)};
  out.limits.max_message_bytes = config.max_message_bytes;
  out.limits.max_backlog_bytes = config.max_backlog_bytes;
  out.limits.max_frame_memory = config.max_frame_memory;
  out.limits.max_queued_bytes = config.max_queued_bytes;
  out.limits.accept_rate = static_cast<double>(config.accept_rate);
  out.limits.compression = config.compression;
  out.limits.publish_rate = static_cast<double>(config.publish_rate);
  out.limits.handshake_timeout = config.handshake_timeout;
  out.limits.ping_interval = config.ping_interval;
  return out;
}

TokenLimits token_limits(const Config& config) {
  TokenLimits out;
  out.max_channels = static_cast<size_t>(config.max_token_channels);
  out.max_ttl_seconds = static_cast<uint32_t>(config.max_token_ttl / std::chrono::seconds(1));
  return out;
}

class RealtimeApp final : public App {
 public:
  RealtimeApp(const Config& config, host::Env& env) : config_(config), env_(env) {}
  ~RealtimeApp() override { stop(std::chrono::milliseconds(0)); }

  Status start() override {
    auto keys = crypto::KeyRing::parse(config_.token_keys);
    if (!keys.ok())
      return Error(errors::kInvalidValue, "realtime: token-keys: " + keys.error().message);
    tokens_.emplace(*std::move(keys), token_limits(config_));

    NodeConfig node = node_config(config_);
    auto rules = ChannelRules::parse(config_.channel_rules);
    if (!rules.ok()) return Error(errors::kInvalidValue, "realtime: " + rules.error().message);
    node.rules = *std::move(rules);
    if (config_.tls_cert.empty() != config_.tls_key.empty())
      return Error(errors::kInvalidValue, "realtime: tls-cert and tls-key go together");
    if (!config_.tls_cert.empty()) {
      RAYMESH_TRY(node.tls, net::TlsContext::load(config_.tls_cert, config_.tls_key));
    }
    RAYMESH_CHECK_OK(choose_broker(node));
    RAYMESH_TRY(node_, RealtimeNode::start(std::move(node), *tokens_, env_.actors, env_.metrics));

    rpc::ServerConfig server;
    server.name = "realtime";
    server.service = "raymesh.realtime.v1.Realtime";
    server.address = config_.listen;
    server.credentials = env_.common.server_credentials();
    server.metrics = &env_.metrics;
    server.loops = node_->loops();
    v1::NodeReply self;
    self.set_id(crypto::random_token(16));
    self.set_broker(config_.broker);
    RAYMESH_TRY(server_, rpc::Server::start(std::move(server),
                                            realtime_methods(*node_, *tokens_, url(), self)));
    others_.emplace(OtherNodesConfig{.peers = config_.peers,
                                     .id = self.id(),
                                     .broker = config_.broker,
                                     .credentials = env_.common.client_credentials()});
    if (const Status alone = others_->start(); !alone.ok())
      return Error(*alone.error().kind, "realtime: peers: " + alone.error().message);
    server_->set_serving(true);
    log::info("realtime is listening", {{"public_url", url()}, {"port", node_->port()}});
    return ok_status();
  }

  std::vector<host::Check> checks() override {
    return {
        {"public_port",
         [this] { return node_ ? ok_status() : Error(errors::kUnavailable, "not listening yet"); }},
        {"peers", [this] { return others_ ? others_->state() : ok_status(); }},
        {"broker", [this] {
           return node_ ? node_->broker_ready() : Error(errors::kUnavailable, "not connected yet");
         }}};
  }

  std::vector<host::Page> pages() override {
    return {{"/channels", [this] { return node_->hot_channels_json(kHotChannels); }}};
  }

  // Sockets first: their clients need the time to come back elsewhere. Calls go on meanwhile, on
  // the node's threads, which end last.
  void stop(std::chrono::milliseconds grace) override {
    const auto deadline = std::chrono::steady_clock::now() + grace;
    const auto left = [deadline](std::chrono::milliseconds kept) {
      const auto rest = std::chrono::duration_cast<std::chrono::milliseconds>(
          deadline - std::chrono::steady_clock::now());
      return std::max(rest - kept, std::chrono::milliseconds(0));
    };
    if (others_) others_->stop();
    if (node_) node_->drain(grace > kServerGrace ? grace - kServerGrace : grace / 2);
    if (server_) server_->stop(left(kBrokerGrace));
    if (node_) node_->stop(left({}));
  }

  rpc::Server& server() override { return *server_; }
  int port() const override { return server_->port(); }
  int public_port() const override { return node_->port(); }

 private:
  Status choose_broker(NodeConfig& node) {
    if (config_.broker == "memory") return ok_status();
    if (config_.broker != "redis")
      return Error(errors::kInvalidValue,
                   "realtime: broker is memory or redis, not '" + config_.broker + "'");
    RedisBrokerConfig redis;
    redis.urls = config_.state_urls;
    redis.password = config_.state_password;
    redis.presence_timeout = config_.presence_timeout;
    if (const Status good = redis.check(); !good.ok())
      return Error(errors::kInvalidValue, "realtime: state-url: " + good.error().message);
    node.make_broker = [redis, &actors = env_.actors](BrokerNode of) {
      return std::make_shared<RedisBroker>(redis, actors, std::move(of));
    };
    return ok_status();
  }

  std::string url() const {
    if (!config_.public_url.empty()) return config_.public_url;
    // The address itself where there is one: "localhost" may mean ::1 to a client, which not every
    // machine has. A certificate rather has the name.
    const bool tls = !config_.tls_cert.empty();
    auto address = parse_host_port(config_.public_listen);
    HostPort local{tls ? "localhost" : "127.0.0.1", static_cast<uint16_t>(node_->port())};
    if (address.ok() && !address->host.empty() && address->host != "*" &&
        address->host != "localhost" && !(tls && is_loopback_host(address->host)))
      local.host = address->host;
    return (tls ? "wss://" : "ws://") + local.to_string();
  }

  const Config config_;
  host::Env& env_;
  std::optional<RealtimeTokens> tokens_;
  std::unique_ptr<RealtimeNode> node_;
  std::unique_ptr<rpc::Server> server_;
  std::optional<OtherNodes> others_;
};

}  // namespace

void Config::declare(config::Options& options) {
  using std::chrono::hours;
  using std::chrono::milliseconds;
  using std::chrono::minutes;
  using std::chrono::seconds;
  constexpr uint64_t kKiB = 1 << 10;
  constexpr uint64_t kMiB = 1 << 20;
  constexpr uint64_t kGiB = 1 << 30;
  options.section("realtime")
      .text("listen", &listen, "host:port of the gRPC service")
      .text("public-listen", &public_listen, "host:port that WebSockets connect to")
      .text("public-url", &public_url,
            "Where clients reach it, for example wss://realtime.example.com; made from "
            "public-listen when empty")
      .secret_list("token-keys", &token_keys,
                   "kid:secret pairs for realtime tokens; the first one signs, all are accepted "
                   "(docs/security/tokens.md)")
      .text("tls-cert", &tls_cert, "PEM file: certificate chain of the public port")
      .text("tls-key", &tls_key, "PEM file: its key; both are read again when they change")
      .list("peers", &peers,
            "All realtime nodes, this one included: host:port or dns:name:port of their gRPC "
            "services; a node with the memory broker does not start beside another one")
      .text("broker", &broker,
            "What connects the realtime nodes: memory (there is only this one) or redis")
      .list("state-url", &state_urls,
            "Redis primaries of the redis broker: redis://host:port, unix:/path or host:port; all "
            "nodes have the same; they must not evict (noeviction)")
      .secret("state-password", &state_password, "Password of those --state-url that name none")
      .duration("presence-timeout", &presence_timeout, seconds(3), minutes(5),
                "Within this time the members of a node that died are gone (redis broker)")
      .integer("threads", &threads, 0, 256, "I/O shards; 0: one per core")
      .integer("max-connections", &max_connections, 1, 10'000'000, "WebSockets of this node")
      .integer("max-channels", &max_channels, 1, 10'000'000,
               "Channels in use on this node at the same time")
      .integer("max-token-channels", &max_token_channels, 1, 1'000, "Channels of one token")
      .integer("max-connection-channels", &max_connection_channels, 1, 10'000,
               "Channels that one connection may be subscribed to")
      .integer("max-identity-connections", &max_identity_connections, 0, 1'000'000'000,
               "Connections of one identity, in the whole cluster; 0: no bound")
      .integer("max-project-connections", &max_project_connections, 0, 1'000'000'000,
               "Connections of one project, in the whole cluster; 0: no bound")
      .list(
          "channel-rules", &channel_rules,
          "What channels keep and how slow readers are treated, by name or pattern, the first that "
          "fits: \"room:* history=100 history-ttl=5m\", \"ticker:* slow=conflate "
          "conflate-key=symbol\", \"logs:* slow=drop\"")
      .duration("max-token-ttl", &max_token_ttl, seconds(1), hours(24 * 30),
                "How long a token may be good for")
      .bytes("max-message-bytes", &max_message_bytes, 128, 16 * kMiB,
             "Larger client messages end the connection (1009); larger payloads get 413")
      .bytes("max-backlog-bytes", &max_backlog_bytes, 4 * kKiB, kGiB,
             "What may wait for one slow client before it is closed (4408)")
      .bytes("max-frame-memory", &max_frame_memory, kMiB, 64 * kGiB,
             "Memory of messages that wait for slow clients; above it the slow ones are closed")
      .bytes("max-queued-bytes", &max_queued_bytes, 64 * kKiB, 64 * kGiB,
             "What may wait between publish and send before publishers have to wait")
      .integer("publish-rate", &publish_rate, 0, 10'000'000,
               "Messages per second from one client (4429); 0: no bound")
      .integer("accept-rate", &accept_rate, 0, 10'000'000,
               "New connections per second; the others wait in the kernel; 0: no bound")
      .boolean("compression", &compression,
               "Accept permessage-deflate: less traffic, more CPU for messages above 256 bytes")
      .duration("handshake-timeout", &handshake_timeout, milliseconds(100), minutes(5),
                "From the connection to the open WebSocket")
      .duration("ping-interval", &ping_interval, seconds(1), minutes(30),
                "How often each client is pinged; silence for as long again ends the connection");
}

std::unique_ptr<App> make_app(const Config& config, host::Env& env) {
  return std::make_unique<RealtimeApp>(config, env);
}

host::Program program() {
  return host::make_program<Config>(
      "realtime", "the realtime service: WebSockets, channels and presence", 9104,
      [](const Config& config, host::Env& env) { return make_app(config, env); });
}

}  // namespace raymesh::realtime
