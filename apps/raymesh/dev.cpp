#include <unistd.h>

#include <cstdio>
#include <iostream>

#include "apps/raymesh/commands.hpp"
#include "apps/raymesh/data_dir.hpp"
#include "apps/raymesh/dev_options.hpp"
#include "apps/raymesh/dev_secrets.hpp"
#include "apps/raymesh/dev_server_file.hpp"
#include "apps/raymesh/dev_services.hpp"
#include "apps/raymesh/dev_stores.hpp"
#include "libs/actor/system.hpp"
#include "libs/base/host_port.hpp"
#include "libs/base/json_writer.hpp"
#include "libs/base/version.hpp"
#include "libs/host/process.hpp"
#include "libs/telemetry/log.hpp"

namespace raymesh::cli {
namespace {

constexpr const char* kSummary =
    "Runs the whole cluster in this process, with a PostgreSQL and two Redis servers of its own, "
    "until Ctrl-C.";
constexpr std::chrono::milliseconds kStoresGrace{15'000};
constexpr std::chrono::milliseconds kReadyTimeout{20'000};
constexpr std::chrono::milliseconds kReadyPoll{2};

struct Addresses {
  std::string url;
  std::string realtime_url;
  std::string raystream;  // host:port
  std::string ops_url;
};

// A browser or curl on this machine can use it, whatever the ports are bound to and whether or not
// it has IPv6.
std::string reachable(const std::string& listen) {
  const bool includes_it =
      listen.empty() || listen == "localhost" || listen == "0.0.0.0" || listen == "::";
  return includes_it ? "127.0.0.1" : listen;
}

std::string ready_json(const DevOptions& options, const Addresses& at, const DataDir& folder) {
  std::string text;
  json::Object o(text);
  o.string("version", version());
  o.integer("pid", getpid());
  o.string("url", at.url);
  o.string("realtime_url", at.realtime_url);
  o.string("raystream", at.raystream);
  o.string("ops_url", at.ops_url);
  o.string("api_key", options.api_key);
  o.string("project", options.project);
  o.string("data_dir", folder.path().string());
  o.end();
  return text;
}

void print_block(const DevOptions& options, const Addresses& at, const DataDir& folder) {
  std::printf(
      "\nraymesh %s\n\n"
      "  HTTP API   %s\n"
      "  WebSocket  %s\n"
      "  raystream  %s\n"
      "  API key    %s   (project %s)\n"
      "  Metrics    %s/metrics\n"
      "  Data       %s%s\n",
      std::string(version()).c_str(), at.url.c_str(), at.realtime_url.c_str(), at.raystream.c_str(),
      options.api_key.c_str(), options.project.c_str(), at.ops_url.c_str(), folder.path().c_str(),
      options.ephemeral ? "   (removed in the end)" : "");
  if (auto elsewhere = folder.elsewhere())
    std::printf("             %s   (databases: the user %s cannot reach the folder above)\n",
                elsewhere->c_str(), folder.user()->name.c_str());
  std::printf("\n");
}

// Every dependency answers, and the gateway has its streams. Who ends raymesh meanwhile does not
// wait for that.
Status wait_until_ready(DevServices& services, const host::ShutdownSignal& shutdown) {
  const auto deadline = std::chrono::steady_clock::now() + kReadyTimeout;
  for (;;) {
    Status first = ok_status();
    for (const host::Check& check : services.checks()) {
      first = check.ready();
      if (!first.ok()) {
        first = Error(*first.error().kind, check.name + ": " + first.error().message);
        break;
      }
    }
    if (first.ok() || std::chrono::steady_clock::now() > deadline) return first;
    if (shutdown.pending(kReadyPoll))
      return Error(errors::kUnavailable, "stopped before it was ready: " + first.error().message);
  }
}

Status announce(const DevOptions& options, const Addresses& at, const DataDir& folder) {
  const std::string json = ready_json(options, at, folder);
  if (!options.ready_file.empty())
    RAYMESH_CHECK_OK(write_private_file(options.ready_file, json + "\n"));
  if (options.json)
    std::printf("%s\n", json.c_str());
  else
    print_block(options, at, folder);
  std::printf("raymesh ready\n");
  std::fflush(stdout);
  return ok_status();
}

// From the folder to the line "raymesh ready", until the signal, and back.
Status serve(const DevOptions& options, ServiceConfigs& configs, host::ShutdownSignal& shutdown) {
  RAYMESH_TRY(auto user, server_user());
  RAYMESH_TRY(DataDir folder, DataDir::open(options.data_dir, options.ephemeral, std::move(user)));
  folder.end_leftovers();
  RAYMESH_TRY(const DevSecrets secrets, load_secrets(folder.path()));
  RAYMESH_TRY(auto stores,
              DevStores::start(folder, options, secrets, [&shutdown] { shutdown.request(); }));
  RAYMESH_CHECK_OK(
      prepare_database(stores->postgres_url(), secrets, options.project, options.api_key));

  host::CommonConfig common;
  common.drain = options.drain;
  auto registry = metrics::Registry::create();
  actor::System actors;
  host::Env env{common, *registry, actors.get()};
  configs.wire(options, secrets, *stores);
  DevServices services(env);
  RAYMESH_CHECK_OK(services.start(configs));
  RAYMESH_CHECK_OK(wait_until_ready(services, shutdown));
  RAYMESH_CHECK_OK(stores->wait_durable());
  RAYMESH_CHECK_OK(folder.set_version());
  RAYMESH_TRY(auto ops, host::OpsServer::start("127.0.0.1:" + std::to_string(options.ops_port),
                                               *registry, services.checks()));
  ops->set_pages(services.pages());

  const std::string host = reachable(options.listen);
  auto at_port = [&host](const char* scheme, int port) {
    return scheme + HostPort{host, static_cast<uint16_t>(port)}.to_string();
  };
  const bool tls = !configs.gateway.tls_certificate.empty();
  const bool realtime_tls = !configs.realtime.tls_cert.empty();
  const Addresses at = {at_port(tls ? "https://" : "http://", services.port()),
                        configs.realtime.public_url.empty()
                            ? at_port(realtime_tls ? "wss://" : "ws://", services.realtime_port())
                            : configs.realtime.public_url,
                        at_port("", services.raystream_port()),
                        "http://127.0.0.1:" + std::to_string(ops->port())};
  RAYMESH_CHECK_OK(
      write_dev_server(folder.path(), {stores->postgres_url(), secrets.project_roles}));
  RAYMESH_CHECK_OK(announce(options, at, folder));

  const int signal = shutdown.wait();
  if (signal != 0 && !options.json && isatty(STDOUT_FILENO)) std::printf("\nstopping\n");
  remove_dev_server(folder.path());
  ops->set_draining();
  services.stop(options.drain);
  ops.reset();
  stores->stop(kStoresGrace);
  if (signal != 0) return ok_status();
  return Error(errors::kUnavailable, "a private server keeps ending; see the log above and " +
                                         (folder.path() / "log").string());
}

}  // namespace

int dev_command(const config::Options::Input& input) {
  DevOptions dev;
  ServiceConfigs configs;
  config::Options options;
  dev.declare(options);
  configs.declare(options);
  if (config::Options::asks(input) == config::Options::Ask::kHelp) {
    std::fputs(options.help("raymesh dev", kSummary).c_str(), stdout);
    return kExitOk;
  }
  auto fail = [](const Error& error, int code) {
    log::flush();
    std::fprintf(stderr, "raymesh: %s\n", error.message.c_str());
    return code;
  };
  auto positional = options.load(input, host::known_sections());
  if (!positional.ok()) return fail(positional.error(), kExitUsage);
  if (!positional->empty())
    return fail(usage_error("unexpected argument \"" + positional->front() + "\"; see --help"),
                kExitUsage);
  if (Status status = dev.check(); !status.ok()) return fail(status.error(), kExitUsage);

  try {
    host::prepare_process();
    host::ShutdownSignal shutdown;
    log::Level level = log::Level::kWarn;
    log::parse_level(dev.log_level, level);
    log::init("raymesh-dev", level);
    Status status = serve(dev, configs, shutdown);
    if (status.ok()) return kExitOk;
    return fail(status.error(), kExitFailure);
  } catch (const std::exception& e) {
    return fail(Error(errors::kInternal, std::string("failed: ") + e.what()), kExitFailure);
  }
}

}  // namespace raymesh::cli
