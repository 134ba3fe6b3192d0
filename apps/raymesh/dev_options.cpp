#include "apps/raymesh/dev_options.hpp"

#include "libs/base/host_port.hpp"
#include "libs/pg/project_identity.hpp"
#include "services/auth/key_store.hpp"

namespace raymesh::cli {

void DevOptions::declare(config::Options& options) {
  using std::chrono::milliseconds;
  options.section("dev")
      .integer("port", &port, 0, 65'535, "HTTP API; 0 for any free one")
      .integer("realtime-port", &realtime_port, 0, 65'535, "WebSocket; 0 for any free one")
      .integer("raystream-port", &raystream_port, 0, 65'535,
               "raystream over TCP; 0 for any free one")
      .integer("ops-port", &ops_port, 0, 65'535,
               "/metrics, /healthz and /readyz, always on 127.0.0.1; 0 for any free one")
      .text("listen", &listen,
            "address of the public ports; localhost is 127.0.0.1 and, where there is IPv6, ::1; "
            "other than loopback needs an --api-key of your own")
      .text("api-key", &api_key, "key of the project, dc_ and what you like; made when missing")
      .text("project", &project, "the project that the key opens; made when missing")
      .text("data-dir", &data_dir, "where everything is kept; made when missing")
      .boolean("ephemeral", &ephemeral, "use a fresh folder below TMPDIR and remove it in the end")
      .secret("postgres-url", &postgres_url,
              "use this PostgreSQL, with a login that may create roles, instead of a private one")
      .list("redis-url", &redis_urls,
            "use this Redis (or two: for the cache, for state) instead of private ones")
      .text("postgres-programs", &postgres_programs,
            "folder of PostgreSQL 15's initdb and postgres")
      .text("redis-program", &redis_program, "path of redis-server")
      .text("ready-file", &ready_file,
            "written when everything answers: a JSON object with the addresses and the key")
      .boolean("json", &json, "print that object instead of the block for people")
      .duration("drain", &drain, milliseconds(0), std::chrono::minutes(10),
                "how long requests in flight may take when it stops");
  options.section("").choice("log-level", &log_level, {"debug", "info", "warn", "error"},
                             "Which lines are logged (JSON, on standard error); info has one line "
                             "for each request");
}

Status DevOptions::check() const {
  auto refuse = [](std::string message) { return Error(errors::kInvalidRequest, message); };
  if (!is_loopback_host(listen) && api_key == kWellKnownKey)
    return refuse("--listen " + listen +
                  " opens the ports to others, and everybody knows the key " + kWellKnownKey +
                  "; choose an --api-key of your own (dc_ and a long random text)");
  if (!auth::is_api_key_text(api_key))
    return refuse("--api-key must begin with dc_ and have at most 256 printable characters");
  if (!pg::is_valid_project_id(project))
    return refuse("--project " + project +
                  " is no project id: a lower-case letter, then at most 38 of a-z 0-9 _ -");
  if (redis_urls.size() > 2) return refuse("--redis-url takes one address, or two");
  return ok_status();
}

}  // namespace raymesh::cli
