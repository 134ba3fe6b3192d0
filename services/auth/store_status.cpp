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
  // Classes 25 (invalid transaction state: a standby), 53 (a full disk), 57 (operator intervention,
  // also statement_timeout) and 58 (an I/O error).
  const std::string_view kind = answer.sqlstate().substr(0, 2);
  const bool cannot_serve = kind == "25" || kind == "53" || kind == "57" || kind == "58";
  return answer.status(cannot_serve ? errors::kUnavailable : errors::kInternal, what);
}

}  // namespace raymesh::auth
