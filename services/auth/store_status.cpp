#include "services/auth/store_status.hpp"

#include "libs/pg/session.hpp"

namespace raymesh::auth {

Status store_status(const pg::Answer& answer, std::string_view what) {
  // PostgreSQL manual, appendix A: undefined_table, invalid_schema_name.
  const bool missing = answer.sqlstate() == "42P01" || answer.sqlstate() == "3F000";
  if (missing)
    return Error(errors::kInternal, std::string(what) +
                                        ": the tables of raymesh_auth are missing or too old; run "
                                        "`raymesh migrate` first");
  return answer.status(errors::kInternal, what);
}

}  // namespace raymesh::auth
