#include "services/auth/project_store.hpp"

#include <algorithm>

#include "libs/pg/project_identity.hpp"
#include "libs/pg/session.hpp"
#include "services/auth/account_rules.hpp"
#include "services/auth/store_status.hpp"

namespace raymesh::auth {
namespace {

Error invalid(std::string message) {
  return {errors::kInvalidRequest, std::move(message)};
}

// Role names need no escapes in PostgreSQL's array syntax but quotes (a role may be called null).
std::string array_literal(const std::vector<std::string>& names) {
  std::string out = "{";
  for (const std::string& name : names) {
    if (out.size() > 1) out += ',';
    out += '"' + name + '"';
  }
  return out + '}';
}

std::vector<std::string> split(std::string_view text) {
  std::vector<std::string> out;
  while (!text.empty()) {
    const size_t comma = std::min(text.find(','), text.size());
    out.emplace_back(text.substr(0, comma));
    text.remove_prefix(std::min(comma + 1, text.size()));
  }
  return out;
}

}  // namespace

Status ProjectStore::check(std::string_view id, std::string_view name,
                           const std::vector<std::string>& signup_roles) {
  if (!pg::is_valid_project_id(id))
    return invalid("bad project id: " + std::string(id) +
                   " (lower-case letters, digits, _ and -, beginning with a letter, at most 39)");
  if (!is_display_name(name)) return invalid("bad project name: " + std::string(name));
  for (const std::string& role : signup_roles)
    if (!is_role_name(role)) return invalid("bad role: " + role);
  return ok_status();
}

Result<ProjectStore::Created> ProjectStore::create(std::string_view id, std::string_view name,
                                                   const std::vector<std::string>& signup_roles) {
  RAYMESH_CHECK_OK(check(id, name, signup_roles));
  auto answer = session_.query(
      "INSERT INTO raymesh_auth.projects (id, name, signup_roles) "
      "VALUES ($1, nullif($2, ''), $3::text[]) ON CONFLICT (id) DO NOTHING RETURNING id",
      {std::string(id), std::string(name), array_literal(signup_roles)});
  RAYMESH_CHECK_OK(store_status(answer, "cannot store the project"));
  return Created{answer.rows() == 1};
}

Result<std::vector<Project>> ProjectStore::list() {
  auto answer = session_.query(
      "SELECT id, coalesce(name, ''), array_to_string(signup_roles, ','), "
      "to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') "
      "FROM raymesh_auth.projects ORDER BY id");
  RAYMESH_CHECK_OK(store_status(answer, "cannot list the projects"));
  std::vector<Project> out;
  out.reserve(static_cast<size_t>(answer.rows()));
  for (int row = 0; row < answer.rows(); ++row)
    out.push_back({std::string(answer.text(row, 0)), std::string(answer.text(row, 1)),
                   split(answer.text(row, 2)), std::string(answer.text(row, 3))});
  return out;
}

Result<bool> ProjectStore::exists(std::string_view id) {
  auto answer =
      session_.query("SELECT 1 FROM raymesh_auth.projects WHERE id = $1", {std::string(id)});
  RAYMESH_CHECK_OK(store_status(answer, "cannot look up the project"));
  return answer.rows() == 1;
}

}  // namespace raymesh::auth
