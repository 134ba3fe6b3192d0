#include "apps/raymesh/connection.hpp"

#include "apps/raymesh/dev_server_file.hpp"

namespace raymesh::cli {

void Connection::declare(config::Options& options) {
  options.section("")
      .secret("postgres-url", &postgres_url, "PostgreSQL, with a login that may create roles")
      .text("data-dir", &data_dir,
            "without --postgres-url: the folder of a running `raymesh dev` whose server is used");
}

void Connection::declare_project_secret(config::Options& options) {
  options.section("").secret("project-role-secret", &project_secret,
                             "the secret that the passwords of project roles are derived from, the "
                             "same as the storage service's");
}

Status Connection::resolve() {
  if (!postgres_url.empty()) return ok_status();
  RAYMESH_TRY(auto server, read_dev_server(data_dir));
  if (!server)
    return Error(errors::kInvalidRequest,
                 "no PostgreSQL is given: use --postgres-url, or --data-dir with the folder of a "
                 "running `raymesh dev` (there is none in " +
                     data_dir + ")");
  postgres_url = server->postgres_url;
  if (project_secret.empty()) project_secret = server->project_secret;
  return ok_status();
}

Result<pg::Session> Connection::connect() {
  RAYMESH_CHECK_OK(resolve());
  return pg::Session::connect(postgres_url);
}

}  // namespace raymesh::cli
