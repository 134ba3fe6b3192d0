#include <cstdio>
#include <exception>
#include <thread>

#include "libs/actor/system.hpp"
#include "libs/base/version.hpp"
#include "libs/host/app.hpp"
#include "libs/host/process.hpp"
#include "libs/telemetry/log.hpp"

namespace raymesh::host {
namespace {

constexpr int kExitClean = 0;
constexpr int kExitFailed = 1;
constexpr int kExitBadConfiguration = 2;

// Before the log is there, and where a person looks first: plain text.
void complain(const Program& program, const std::string& what) {
  log::flush();
  std::fprintf(stderr, "%s: %s\n", program.name.c_str(), what.c_str());
}

int serve(const Program& program, const CommonConfig& common, ShutdownSignal& shutdown) {
  auto registry = metrics::Registry::create();
  actor::System actors;
  Env env{common, *registry, actors.get()};
  std::unique_ptr<App> app = program.make(env);

  std::unique_ptr<OpsServer> ops;
  if (!common.ops_listen.empty()) {
    auto started = OpsServer::start(
        common.ops_listen, *registry,
        {{"start", [] { return Status(Error(errors::kUnavailable, "starting")); }}});
    if (!started.ok()) {
      complain(program, "--ops-listen: " + started.error().message);
      return kExitFailed;
    }
    ops = std::move(*started);
  }

  if (Status status = app->start(); !status.ok()) {
    complain(program, "cannot start: " + status.error().message);
    ops.reset();
    return kExitFailed;
  }
  if (ops) ops->set_checks(app->checks());
  if (ops) ops->set_pages(app->pages());
  log::info("started", {{"version", version()}, {"ops_port", ops ? ops->port() : 0}});

  int signal = shutdown.wait();
  log::info("stopping", {{"signal", signal}, {"drain_ms", common.drain.count()}});
  if (ops) ops->set_draining();
  std::this_thread::sleep_for(common.shutdown_delay);
  app->stop(common.drain);
  ops.reset();
  app.reset();
  log::info("stopped");
  return signal == 0 ? kExitFailed : kExitClean;
}

}  // namespace

int run(int argc, char** argv, const Program& program) {
  CommonConfig common;
  common.ops_listen = "127.0.0.1:" + std::to_string(program.ops_port);
  config::Options options;
  options.section(program.section);
  program.declare(options);
  common.declare(options);

  config::Options::Input input = config::process_input(argc, argv);
  switch (config::Options::asks(input)) {
    case config::Options::Ask::kHelp:
      std::fputs(options.help(program.name, program.summary).c_str(), stdout);
      return kExitClean;
    case config::Options::Ask::kVersion:
      std::printf("%s %s\n", program.name.c_str(), std::string(version()).c_str());
      return kExitClean;
    case config::Options::Ask::kNothing:
      break;
  }
  auto positional = options.load(input, known_sections());
  if (!positional.ok()) {
    complain(program, positional.error().message);
    return kExitBadConfiguration;
  }
  if (!positional->empty()) {
    complain(program,
             "unexpected argument \"" + positional->front() + "\"; --help lists the options");
    return kExitBadConfiguration;
  }

  try {
    prepare_process();
    ShutdownSignal shutdown;
    log::Level level = log::Level::kInfo;
    log::parse_level(common.log_level, level);
    log::init(program.name, level);
    return serve(program, common, shutdown);
  } catch (const std::exception& e) {
    complain(program, std::string("failed: ") + e.what());
    return kExitFailed;
  }
}

}  // namespace raymesh::host
