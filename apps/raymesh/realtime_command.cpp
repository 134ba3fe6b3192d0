// `raymesh realtime primaries show|set`: which Redis primaries connect the realtime nodes.
#include "apps/raymesh/commands.hpp"
#include "libs/base/json_writer.hpp"
#include "services/realtime/redis_broker.hpp"
#include "services/realtime/ring_admin.hpp"

namespace raymesh::cli {
namespace {

struct Known {
  std::vector<std::string> urls;
  std::string password;

  void declare(config::Options& options) {
    options.section("")
        .list("state-url", &urls,
              "Redis primaries that are known, as the nodes have them; before the first set: all")
        .secret("state-password", &password,
                "password of those --state-url that name none, and of the others; never stored");
  }
  Status check() const {
    if (urls.empty()) return usage_error("--state-url is missing");
    realtime::RedisBrokerConfig config;
    config.urls = urls;
    if (const Status good = config.check(); !good.ok())
      return usage_error("--state-url: " + good.error().message);
    return ok_status();
  }
};

void print(Output& output, const realtime::RingRecord& ring) {
  if (output.json) {
    std::string text;
    json::Object o(text);
    o.integer("version", static_cast<int64_t>(ring.version));
    std::string& list = o.key("primaries") += '[';
    for (const auto& primary : ring.lists.front()) {
      if (list.back() != '[') list += ',';
      list += json::quoted(primary.url);
    }
    list += ']';
    o.end();
    output.out << text << '\n';
    return;
  }
  output.out << "version: " << ring.version
             << (ring.version == 0 ? " (that of --state-url)\n" : "\n");
  for (const auto& primary : ring.lists.front()) output.out << primary.url << '\n';
}

int show_primaries(Invocation& invocation) {
  Known known;
  config::Options options;
  known.declare(options);
  return run_command(invocation,
                     {"realtime primaries show", "",
                      "Shows the Redis primaries that realtime channels are spread over."},
                     options, [&](const auto&, Output& output) -> Status {
                       RAYMESH_CHECK_OK(known.check());
                       RAYMESH_TRY(auto ring,
                                   realtime::RingAdmin(known.urls, known.password).newest());
                       print(output, ring);
                       return ok_status();
                     });
}

int set_primaries(Invocation& invocation) {
  Known known;
  std::vector<std::string> lost;
  config::Options options;
  known.declare(options);
  options.list("lost", &lost,
               "primaries that are gone for good: they are not told, so they must never come back");
  Command command{"realtime primaries set", "<url>...",
                  "Makes these the Redis primaries that realtime channels are spread over. Nodes "
                  "follow within\nseconds; channels that move begin a new epoch, which their "
                  "subscribers are told of.",
                  1};
  command.more = true;
  return run_command(
      invocation, command, options, [&](const auto& positionals, Output& output) -> Status {
        RAYMESH_CHECK_OK(known.check());
        RAYMESH_TRY(auto ring,
                    realtime::RingAdmin(known.urls, known.password).set(positionals, lost));
        print(output, ring);
        return ok_status();
      });
}

int primaries_command(Invocation& invocation) {
  return run_group(invocation, "realtime primaries",
                   {{"show", "show the Redis primaries", show_primaries},
                    {"set", "change the Redis primaries", set_primaries}});
}

}  // namespace

int realtime_command(Invocation& invocation) {
  return run_group(invocation, "realtime",
                   {{"primaries", "the Redis primaries of realtime", primaries_command}});
}

}  // namespace raymesh::cli
