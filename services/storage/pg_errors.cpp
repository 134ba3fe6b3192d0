#include "services/storage/pg_errors.hpp"

#include <chrono>
#include <string>

namespace raymesh::storage {
namespace {

constexpr std::chrono::milliseconds kRetryAfter{1'000};

struct Row {
  std::string_view sqlstate;  // or its beginning: the longest match counts, so longest first
  const ErrorKind& kind;
};

const Row kRows[] = {
    {"23505", errors::kUniqueViolation},
    {"23P01", errors::kUniqueViolation},  // exclusion constraint
    {"23503", errors::kForeignKeyViolation},
    {"23001", errors::kForeignKeyViolation},  // RESTRICT
    {"23502", errors::kNotNullViolation},
    {"23514", errors::kCheckViolation},
    {"44000", errors::kCheckViolation},  // WITH CHECK OPTION of a view
    {"42P01", errors::kUnknownTable},
    {"42703", errors::kUnknownColumn},
    {"42501", errors::kDatabasePermission},
    {"25006", errors::kDatabasePermission},  // read only transaction
    {"57014", errors::kStatementTimeout},
    {"55P03", errors::kStatementTimeout},  // lock_timeout
    {"40001", errors::kSerializationFailure},
    {"40P01", errors::kSerializationFailure},
    {"54000", errors::kDatabaseError},  // program limits: the statement's size
    {"54001", errors::kDatabaseError},
    {"54011", errors::kDatabaseError},
    {"54023", errors::kDatabaseError},
    {"P0", errors::kDatabaseError},  // RAISE in the project's own functions
    {"0A", errors::kDatabaseError},
    {"21", errors::kDatabaseError},
    {"22", errors::kInvalidValue},
    {"23", errors::kCheckViolation},
    {"27", errors::kDatabaseError},
    {"2B", errors::kDatabaseError},
    {"38", errors::kDatabaseError},
    {"39", errors::kDatabaseError},
    {"42", errors::kDatabaseError},
    {"55", errors::kDatabaseError},
    {"08", errors::kUnavailable},
    {"28", errors::kUnavailable},
    {"53", errors::kUnavailable},
    {"57", errors::kUnavailable},
    {"58", errors::kUnavailable},
    {"XX", errors::kInternal},
};

const ErrorKind& kind_of(std::string_view sqlstate) {
  // A value that does not fit its column is the caller's; so is a type without such an operator.
  if (sqlstate.starts_with("428")) return errors::kInvalidValue;
  if (sqlstate == "42804") return errors::kInvalidValue;
  for (const Row& row : kRows) {
    if (sqlstate.starts_with(row.sqlstate)) return row.kind;
  }
  // The rest comes from code of the project, which may raise any state it likes.
  return errors::kDatabaseError;
}

}  // namespace

Error to_error(const pg::ServerError& error) {
  const ErrorKind& kind = kind_of(error.sqlstate);
  std::string message = error.message;
  const bool shows_only_the_key = error.sqlstate == "23505" || error.sqlstate == "23503";
  if (shows_only_the_key && !error.detail.empty()) message += " (" + error.detail + ")";
  if (message.empty()) message = std::string(kind.meaning);
  const bool may_pass =
      kind.status == StatusCode::kUnavailable || kind.code == errors::kSerializationFailure.code;
  return Error(kind, std::move(message), may_pass ? kRetryAfter : std::chrono::milliseconds(0));
}

bool may_be_outdated(std::string_view sqlstate) {
  return sqlstate == "0A000" ||  // cached plan must not change result type
         sqlstate == "42P01" || sqlstate == "42703" || sqlstate == "42804" ||
         sqlstate == "42883" ||  // no such operator for these types
         sqlstate == "42846" || sqlstate == "42P18" ||
         sqlstate == "428C9";  // a column that is generated now
}

}  // namespace raymesh::storage
