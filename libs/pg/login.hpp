// How a pooled session logs in, and the settings that it starts with. A value; any thread.
#pragma once

#include <chrono>
#include <string>
#include <utility>
#include <vector>

namespace raymesh::pg {

struct SessionLimits {
  std::chrono::milliseconds statement_timeout{10'000};
  std::chrono::milliseconds lock_timeout{5'000};
  std::chrono::milliseconds idle_in_transaction_timeout{10'000};
};

struct Login {
  std::string server;  // libpq connection string or URI: host, port, dbname, sslmode, ...
  std::string user;
  std::string password;  // a secret
  std::string schema;    // first in search_path
  std::string application_name = "raymesh-storage";
  SessionLimits limits;
};

/// libpq's `options` parameter (manual 34.1.2). Settings that come with the start packet win over
/// those of the role and the database (ALTER ROLE ... SET), and RESET goes back to them.
/// pg_catalog is named by nobody, so that it is searched first and nothing in the project's schema
/// can stand in for a built-in function; pg_temp is named last, so that a temporary table cannot
/// stand in for a table.
std::string session_options(const Login& login);

/// Keywords and values for PQconnectStartParams with expand_dbname.
std::vector<std::pair<std::string, std::string>> connect_parameters(const Login& login);

}  // namespace raymesh::pg
