// GET /api/v1/info: what the credential stands for and may do. Answered from the key's resolution.
#include "libs/base/json_writer.hpp"
#include "services/gateway/exchange.hpp"
#include "services/gateway/routes.hpp"

namespace raymesh::gateway {
namespace {

void string_or_null(json::Object& o, std::string_view name, const std::string& value) {
  if (value.empty())
    o.raw(name, "null");
  else
    o.string(name, value);
}

void info(Exchange& ex) {
  const KeyInfo& key = ex.key();
  std::string out;
  json::Object o(out);
  json::Object project(o.key("project"));
  project.string("id", key.project_id);
  string_or_null(project, "name", key.project_name);
  project.end();
  json::Object credential(o.key("credential"));
  credential.string("type", "api_key");
  string_or_null(credential, "role", key.role);
  credential.raw("user_id", "null");
  credential.end();
  json::Object capabilities(o.key("capabilities"));
  for (const auto& [name, allowed] : key.capabilities) capabilities.boolean(name, allowed);
  capabilities.end();
  o.end();
  ex.reply(200, out);
}

}  // namespace

std::span<const Route> info_routes() {
  static const Route kRoutes[] = {
      {.name = "info", .method = "GET", .path = "/api/v1/info", .handle = info}};
  return kRoutes;
}

}  // namespace raymesh::gateway
