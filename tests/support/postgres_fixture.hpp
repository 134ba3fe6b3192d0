// A real PostgreSQL for a test program: its own data folder (a copy of a template that initdb makes
// once per machine and user), a unix socket in a fresh temporary folder, fsync on, gone at the end
// also when the test crashes. Drops to the user postgres when root. `postgres` logs in with no
// password (trust); everybody else proves theirs (SCRAM). Use from the test's main thread, which
// must outlive the server.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

namespace raymesh::testing {

class PostgresServer {
 public:
  /// One server for all tests of the program, started by the first caller.
  static PostgresServer& shared();

  /// `settings` are lines for postgresql.conf; with `tcp_port` it also listens on 127.0.0.1, for
  /// TLS only. Throws std::runtime_error when it does not start.
  explicit PostgresServer(std::vector<std::string> settings = {}, int tcp_port = 0);
  ~PostgresServer();
  PostgresServer(const PostgresServer&) = delete;
  PostgresServer& operator=(const PostgresServer&) = delete;

  const std::string& socket_dir() const { return folder_; }
  /// A port of 127.0.0.1 that is this program's until it ends: nobody else is given it, and one
  /// that sets SO_REUSEADDR, as PostgreSQL does, may listen on it.
  static int free_port();
  /// libpq connection string without user and password: "host=/... dbname=postgres".
  std::string server_url(const std::string& database = "postgres") const;
  /// The same for the superuser.
  std::string admin_url(const std::string& database = "postgres") const;
  std::string url(const std::string& user, const std::string& password,
                  const std::string& database = "postgres") const;

  /// Runs statements as the superuser (simple protocol); throws with PostgreSQL's message.
  void execute(const std::string& sql, const std::string& database = "postgres") const;
  /// First column of the first row; nullopt for NULL or no row.
  std::optional<std::string> query(const std::string& sql,
                                   const std::string& database = "postgres") const;

  enum class Stop { kFast, kImmediate };
  /// kImmediate is SIGQUIT: like a crash, with recovery at the next start.
  void stop(Stop mode = Stop::kFast);
  /// Returns when it accepts connections.
  void start();

 private:
  std::string folder_;
  std::string port_ = "5432";
  pid_t pid_ = 0;
};

}  // namespace raymesh::testing
