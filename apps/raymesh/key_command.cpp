// `raymesh key create|list|revoke`.
#include "apps/raymesh/commands.hpp"
#include "apps/raymesh/connection.hpp"
#include "libs/base/json_writer.hpp"
#include "services/auth/key_store.hpp"

namespace raymesh::cli {
namespace {

int create_key(Invocation& invocation) {
  Connection connection;
  auth::NewKey key;
  double per_second = 0;
  double burst = 0;
  config::Options options;
  connection.declare(options);
  options.text("project", &key.project_id, "the project's id")
      .text("name", &key.name, "a name to show to people")
      .text("role", &key.role, "the key's role; without one it has all rights in the project")
      .number("requests-per-second", &per_second, 0, 1e6, "rate limit; 0: the gateway's default")
      .number("burst", &burst, 0, 1e6, "requests that may come at once; 0: the gateway's default");
  return run_command(
      invocation,
      {"key create", "", "Creates an API key and shows it, this once: only its hash is stored."},
      options, [&](const auto&, Output& output) -> Status {
        if (key.project_id.empty()) return usage_error("--project is missing");
        if (per_second > 0) key.requests_per_second = per_second;
        if (burst > 0) key.burst = burst;
        RAYMESH_TRY(auto session, connection.connect());
        RAYMESH_TRY(auto created, auth::KeyStore(session).create(key));
        if (output.json) {
          std::string text;
          json::Object o(text);
          o.string("id", created.id);
          o.string("key", created.key);
          o.string("project", key.project_id);
          o.end();
          output.out << text << '\n';
        } else {
          output.out << "id:  " << created.id << "\nkey: " << created.key
                     << "\nKeep the key now: it is not stored and cannot be shown again.\n";
        }
        return ok_status();
      });
}

std::string keys_json(const std::vector<auth::ApiKey>& keys) {
  std::string text = "[";
  for (const auth::ApiKey& key : keys) {
    if (text.size() > 1) text += ',';
    auto or_null = [&](json::Object& o, std::string_view name, const std::string& value) {
      o.raw(name, value.empty() ? "null" : json::quoted(value));
    };
    json::Object o(text);
    o.string("id", key.id);
    o.string("project", key.project_id);
    o.string("prefix", key.prefix);
    or_null(o, "name", key.name);
    or_null(o, "role", key.role);
    o.boolean("development", key.development);
    o.string("createdAt", key.created_at);
    or_null(o, "revokedAt", key.revoked_at);
    o.end();
  }
  return text + "]\n";
}

int list_keys(Invocation& invocation) {
  Connection connection;
  std::string project;
  config::Options options;
  connection.declare(options);
  options.text("project", &project, "only this project's keys");
  return run_command(
      invocation,
      {"key list", "", "Lists API keys, revoked ones too. The keys themselves are not stored."},
      options, [&](const auto&, Output& output) -> Status {
        RAYMESH_TRY(auto session, connection.connect());
        RAYMESH_TRY(auto keys, auth::KeyStore(session).list(project));
        if (output.json) {
          output.out << keys_json(keys);
          return ok_status();
        }
        std::vector<std::vector<std::string>> rows = {
            {"ID", "PROJECT", "KEY", "ROLE", "CREATED", "REVOKED", "NAME"}};
        auto or_dash = [](const std::string& text) { return text.empty() ? "-" : text; };
        for (const auto& k : keys)
          rows.push_back({k.id, k.project_id, k.prefix + "...", or_dash(k.role), k.created_at,
                          or_dash(k.revoked_at), k.name});
        print_table(output.out, rows);
        return ok_status();
      });
}

int revoke_key(Invocation& invocation) {
  Connection connection;
  config::Options options;
  connection.declare(options);
  return run_command(invocation, {"key revoke", "<id>", "Revokes an API key, for good.", 1},
                     options, [&](const auto& positionals, Output& output) -> Status {
                       const std::string& id = positionals.front();
                       RAYMESH_TRY(auto session, connection.connect());
                       RAYMESH_TRY(bool now, auth::KeyStore(session).revoke(id));
                       if (output.json) {
                         std::string text;
                         json::Object o(text);
                         o.string("id", id);
                         o.boolean("revoked", now);
                         o.end();
                         output.out << text << '\n';
                       } else {
                         output.out << "key " << id
                                    << (now ? " revoked\n" : " was revoked already\n");
                       }
                       return ok_status();
                     });
}

}  // namespace

int key_command(Invocation& invocation) {
  return run_group(invocation, "key",
                   {{"create", "create a key", create_key},
                    {"list", "list keys", list_keys},
                    {"revoke", "revoke a key", revoke_key}});
}

}  // namespace raymesh::cli
