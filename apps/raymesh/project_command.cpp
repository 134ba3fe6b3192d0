// `raymesh project create|list`.
#include "apps/raymesh/commands.hpp"
#include "apps/raymesh/connection.hpp"
#include "libs/base/json_writer.hpp"
#include "libs/pg/provisioner.hpp"
#include "services/auth/project_store.hpp"

namespace raymesh::cli {
namespace {

int create_project(Invocation& invocation) {
  Connection connection;
  std::string name;
  std::vector<std::string> signup_roles = {"user"};
  config::Options options;
  connection.declare(options);
  connection.declare_project_secret(options);
  options.text("name", &name, "a name to show to people")
      .list("signup-roles", &signup_roles, "roles that clients may ask for at signup");
  return run_command(
      invocation,
      {"project create", "<id>",
       "Creates a project: its login role and schema in PostgreSQL and its row. Safe to repeat:\n"
       "what is there is asserted again, its name and roles stay.",
       1},
      options, [&](const auto& positionals, Output& output) -> Status {
        const std::string& id = positionals.front();
        RAYMESH_CHECK_OK(auth::ProjectStore::check(id, name, signup_roles));
        RAYMESH_TRY(auto session, connection.connect());
        if (connection.project_secret.empty())
          return usage_error("--project-role-secret or --project-role-secret-file is missing");
        RAYMESH_CHECK_OK(
            pg::provision_project(connection.postgres_url, id, connection.project_secret));
        RAYMESH_TRY(auto created, auth::ProjectStore(session).create(id, name, signup_roles));
        if (output.json) {
          std::string text;
          json::Object o(text);
          o.string("id", id);
          o.boolean("created", created.is_new);
          o.end();
          output.out << text << '\n';
        } else {
          output.out << "project " << id
                     << (created.is_new ? " created\n" : " was there already\n");
        }
        return ok_status();
      });
}

std::string projects_json(const std::vector<auth::Project>& projects) {
  std::string text = "[";
  for (const auth::Project& project : projects) {
    if (text.size() > 1) text += ',';
    json::Object o(text);
    o.string("id", project.id);
    o.string("name", project.name);
    o.key("signupRoles") += '[';
    for (const std::string& role : project.signup_roles) {
      if (text.back() != '[') text += ',';
      json::append_string(text, role);
    }
    text += ']';
    o.string("createdAt", project.created_at);
    o.end();
  }
  return text + "]\n";
}

int list_projects(Invocation& invocation) {
  Connection connection;
  config::Options options;
  connection.declare(options);
  return run_command(invocation, {"project list", "", "Lists all projects."}, options,
                     [&](const auto&, Output& output) -> Status {
                       RAYMESH_TRY(auto session, connection.connect());
                       RAYMESH_TRY(auto projects, auth::ProjectStore(session).list());
                       if (output.json) {
                         output.out << projects_json(projects);
                         return ok_status();
                       }
                       std::vector<std::vector<std::string>> rows = {{"ID", "CREATED", "NAME"}};
                       for (const auto& p : projects) rows.push_back({p.id, p.created_at, p.name});
                       print_table(output.out, rows);
                       return ok_status();
                     });
}

}  // namespace

int project_command(Invocation& invocation) {
  return run_group(invocation, "project",
                   {{"create", "create a project", create_project},
                    {"list", "list all projects", list_projects}});
}

}  // namespace raymesh::cli
