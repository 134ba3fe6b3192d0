// `raymesh migrate`: brings the system schemas to the version of this binary.
#include "apps/raymesh/commands.hpp"
#include "apps/raymesh/connection.hpp"
#include "libs/base/json_writer.hpp"
#include "libs/pg/system_migrator.hpp"
#include "services/auth/schema.hpp"
#include "services/storage/schema.hpp"

namespace raymesh::cli {
namespace {

void print(Output& output, const std::vector<pg::AppliedMigration>& applied) {
  if (output.json) {
    std::string text = "{\"applied\":[";
    for (const auto& migration : applied) {
      if (text.back() == '}') text += ',';
      json::Object o(text);
      o.string("schema", migration.schema);
      o.integer("version", migration.version);
      o.string("name", migration.name);
      o.end();
    }
    output.out << text << "]}\n";
    return;
  }
  for (const auto& migration : applied)
    output.out << migration.schema << ' ' << migration.version << ": " << migration.name << '\n';
  output.out << (applied.empty() ? "everything is up to date\n" : "done\n");
}

}  // namespace

int migrate_command(Invocation& invocation) {
  Connection connection;
  std::string auth_password;
  std::string storage_password;
  config::Options options;
  connection.declare(options);
  options.secret("auth-password", &auth_password, "password of the role raymesh_auth")
      .secret("storage-password", &storage_password, "password of the role raymesh_storage");
  return run_command(
      invocation,
      {"migrate", "",
       "Creates or upgrades the schemas raymesh_auth and raymesh_storage and the roles that own\n"
       "them. Safe to repeat, and to run from several machines at once."},
      options, [&](const auto&, Output& output) -> Status {
        RAYMESH_CHECK_OK(connection.resolve());
        for (const auto& [name, value] :
             {std::pair{"auth-password", &auth_password}, {"storage-password", &storage_password}})
          if (value->empty())
            return usage_error(std::string("--") + name + " or --" + name + "-file is missing");
        RAYMESH_TRY(
            auto applied,
            pg::run_system_migrations(
                connection.postgres_url,
                {{auth::kSystemSchema, auth_password, auth::system_migrations()},
                 {storage::kSystemSchema, storage_password, storage::system_migrations()}}));
        print(output, applied);
        return ok_status();
      });
}

}  // namespace raymesh::cli
