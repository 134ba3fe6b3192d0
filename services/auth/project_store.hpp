// Projects as rows, for the operator's tools (`raymesh project`, `raymesh dev`) with an admin
// login. The auth service itself only reads them, with queries of its own. Blocking; one thread at
// a time.
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

struct Project {
  std::string id;
  std::string name;  // empty: none
  std::vector<std::string> signup_roles;
  std::string created_at;  // ISO 8601, UTC
};

class ProjectStore {
 public:
  /// The system migrations have run. `session` outlives the store.
  explicit ProjectStore(pg::Session& session) : session_(session) {}

  struct Created {
    bool is_new = false;  // false: it was there already and has been left as it was
  };
  /// What `create` would refuse, before anything is made elsewhere. Error: invalid_request.
  static Status check(std::string_view id, std::string_view name,
                      const std::vector<std::string>& signup_roles);
  /// `signup_roles`: the roles that a client may ask for at signup. Errors: invalid_request (id,
  /// name longer than 200 characters, bad role), unavailable, internal.
  Result<Created> create(std::string_view id, std::string_view name,
                         const std::vector<std::string>& signup_roles);
  /// By id.
  Result<std::vector<Project>> list();
  Result<bool> exists(std::string_view id);

 private:
  pg::Session& session_;
};

}  // namespace raymesh::auth
