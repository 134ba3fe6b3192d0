// The passwords and keys of one `raymesh dev` folder: random, made once, kept in secrets.json
// (0600). Tokens and sessions so survive a restart. One thread.
#pragma once

#include <filesystem>
#include <string>

#include "libs/base/result.hpp"

namespace raymesh::cli {

struct DevSecrets {
  std::string postgres_admin;  // password of the private server's superuser
  std::string auth_role;       // passwords of the services' roles
  std::string storage_role;
  std::string project_roles;    // what the passwords of the projects' roles are derived from
  std::string access_tokens;    // "kid:secret"
  std::string realtime_tokens;  // "kid:secret"
  std::string raystream_key;    // "id:seed"
  std::string raystream_state;  // "id:key"
  std::string redis;            // password of the private servers
};

/// Reads the file, makes what is missing in it (all, in a new folder) and writes it back when
/// something was. Errors: invalid_request for a file that is not one, unavailable.
Result<DevSecrets> load_secrets(const std::filesystem::path& folder);

}  // namespace raymesh::cli
