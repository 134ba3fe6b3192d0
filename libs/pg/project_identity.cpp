#include "libs/pg/project_identity.hpp"

#include "libs/base/encoding.hpp"
#include "libs/crypto/hash.hpp"

namespace raymesh::pg {

bool is_valid_project_id(std::string_view id) {
  auto is_letter = [](char c) { return c >= 'a' && c <= 'z'; };
  auto is_inner = [&](char c) {
    return is_letter(c) || (c >= '0' && c <= '9') || c == '_' || c == '-';
  };
  if (id.empty() || id.size() > 39 || !is_letter(id[0])) return false;
  for (char c : id.substr(1)) {
    if (!is_inner(c)) return false;
  }
  return true;
}

Result<ProjectIdentity> project_identity(std::string_view project_id, std::string_view secret) {
  if (!is_valid_project_id(project_id)) {
    return Error(errors::kInvalidRequest,
                 "a project id is a lower-case letter followed by at most 38 of a-z, 0-9, _ and -");
  }
  std::string message = "raymesh project role";
  message += '\0';
  message += project_id;
  const std::string mac = crypto::hmac_sha256(secret, message);
  return ProjectIdentity{.role = "raymesh_p_" + std::string(project_id),
                         .schema = "p_" + std::string(project_id),
                         .password = hex_encode(mac)};
}

}  // namespace raymesh::pg
