// API keys as rows, for the operator's tools (`raymesh key`, `raymesh dev`) with an admin login.
// A key is shown once, when it is made; what is stored is its SHA-256. (A slow hash is for
// passwords; these keys have 256 random bits.) Blocking; one thread at a time.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "libs/base/result.hpp"

namespace raymesh::pg {
class Session;
}

namespace raymesh::auth {

struct ApiKey {
  std::string id;
  std::string project_id;
  std::string prefix;  // the key's first characters, to tell keys apart
  std::string name;    // empty: none
  std::string role;    // empty: all rights in the project
  bool development = false;
  std::string created_at;  // ISO 8601, UTC
  std::string revoked_at;  // empty: in force
};

struct NewKey {
  std::string project_id{};
  std::string name{};
  std::string role{};
  /// The gateway's default when empty.
  std::optional<double> requests_per_second{};
  std::optional<double> burst{};
  /// Usable from loopback origins and hosts only.
  bool development = false;
};

struct CreatedKey {
  std::string id;
  std::string key;  // the secret: dc_ and 43 characters; shown once
};

class KeyStore {
 public:
  /// The system migrations have run. `session` outlives the store.
  explicit KeyStore(pg::Session& session) : session_(session) {}

  /// A new random key. Errors: not_found (project), invalid_request, unavailable, internal.
  Result<CreatedKey> create(const NewKey& key);
  /// A key whose text the caller chose: `dc_local_dev` of `raymesh dev`. Idempotent: a key that is
  /// there already keeps its id, and is put in force again as described. Errors also:
  /// already_exists when it belongs to another project.
  Result<CreatedKey> ensure(const NewKey& key, std::string_view text);
  /// Newest last; of one project, or of all when `project_id` is empty.
  Result<std::vector<ApiKey>> list(std::string_view project_id);
  /// From now on the key resolves to nothing; gateways forget it when their caches' entries end.
  /// False when it was revoked already. Errors: not_found.
  Result<bool> revoke(std::string_view id);

 private:
  pg::Session& session_;
};

/// "dc_" and at most 256 characters of printable ASCII without spaces.
bool is_api_key_text(std::string_view text);

}  // namespace raymesh::auth
