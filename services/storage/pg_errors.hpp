// What PostgreSQL refuses, in raymesh's terms: the one mapping from SQLSTATE (manual, appendix A)
// to the table of errors. Pure; any thread.
#pragma once

#include <string_view>

#include "libs/base/result.hpp"
#include "libs/pg/wire.hpp"

namespace raymesh::storage {

/// The message is PostgreSQL's own, never SQL text or a connection string; the detail only where it
/// shows nothing but what the caller sent (a duplicate key, a missing reference).
Error to_error(const pg::ServerError& error);

/// True for what a statement that was made from outdated column information may run into.
bool may_be_outdated(std::string_view sqlstate);

}  // namespace raymesh::storage
