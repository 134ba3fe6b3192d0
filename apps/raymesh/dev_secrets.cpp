#include "apps/raymesh/dev_secrets.hpp"

#include <simdjson.h>

#include "apps/raymesh/data_dir.hpp"
#include "libs/base/json_writer.hpp"
#include "libs/crypto/random.hpp"

namespace raymesh::cli {
namespace {

struct Entry {
  const char* name;
  std::string DevSecrets::*value;
  const char* prefix;
};
constexpr Entry kEntries[] = {
    {"postgresAdmin", &DevSecrets::postgres_admin, ""},
    {"authRole", &DevSecrets::auth_role, ""},
    {"storageRole", &DevSecrets::storage_role, ""},
    {"projectRoles", &DevSecrets::project_roles, ""},
    {"accessTokens", &DevSecrets::access_tokens, "a1:"},
    {"realtimeTokens", &DevSecrets::realtime_tokens, "r1:"},
    {"raystreamKey", &DevSecrets::raystream_key, "s1:"},
    {"raystreamState", &DevSecrets::raystream_state, "e1:"},
    {"redis", &DevSecrets::redis, ""},
};

}  // namespace

Result<DevSecrets> load_secrets(const std::filesystem::path& folder) {
  const std::filesystem::path file = folder / "secrets.json";
  RAYMESH_TRY(auto text, read_small_file(file));
  DevSecrets secrets;
  if (text) {
    simdjson::dom::parser parser;
    simdjson::dom::object object;
    if (parser.parse(*text).get_object().get(object) != simdjson::SUCCESS)
      return Error(errors::kInvalidRequest, file.string() + " is damaged");
    for (const Entry& entry : kEntries) {
      std::string_view value;
      if (object[entry.name].get(value) == simdjson::SUCCESS) secrets.*entry.value = value;
    }
  }
  bool complete = true;
  for (const Entry& entry : kEntries) {
    if (!(secrets.*entry.value).empty()) continue;
    secrets.*entry.value = entry.prefix + crypto::random_token(32);
    complete = false;
  }
  if (complete) return secrets;
  std::string out;
  json::Object object(out);
  for (const Entry& entry : kEntries) object.string(entry.name, secrets.*entry.value);
  object.end();
  RAYMESH_CHECK_OK(write_private_file(file, out + "\n"));
  return secrets;
}

}  // namespace raymesh::cli
