// One synchronous connection to PostgreSQL, for everything that is rare: migrations, provisioning,
// command line. Owned by one thread at a time, which it blocks; the hot path has its own pipelined
// connections. Plain libpq, because callers need SQLSTATE, positions and notices as they come.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "libs/base/result.hpp"

struct pg_conn;
struct pg_result;

namespace raymesh::pg {

/// What one statement answered. Movable; owns libpq's result.
class Answer {
 public:
  explicit Answer(pg_result* result);
  /// The server said no, or the connection broke (sqlstate empty).
  static Answer lost(std::string_view message);
  static Answer timed_out_at_deadline();

  bool ok() const;
  /// Session::run gave up; the server may still be at it.
  bool timed_out() const { return timed_out_; }
  /// Five characters (PostgreSQL manual, appendix A); empty when the connection broke.
  std::string_view sqlstate() const;
  /// PostgreSQL's primary message, with detail and hint when there are any; one line.
  std::string message() const;
  /// The place in the statement, counted in characters from 1; 0 when there is none.
  int position() const;

  int rows() const;
  bool is_null(int row, int column) const;
  std::string_view text(int row, int column) const;
  /// PQcmdStatus: "CREATE TABLE".
  std::string_view command_tag() const;

  /// ok, or `kind` with `what` and PostgreSQL's message; unavailable when the connection broke.
  Status status(const ErrorKind& kind, std::string_view what) const;

 private:
  struct Clear {
    void operator()(pg_result* r) const;
  };
  std::unique_ptr<pg_result, Clear> result_;
  std::string lost_;
  bool timed_out_ = false;
};

struct Notice {
  std::string severity;  // "NOTICE", "WARNING", ... never translated
  std::string message;
};

class Session {
 public:
  /// `url` is a libpq connection string or URI; `overrides` (keyword, value) win over it. Default
  /// connect_timeout 10 s, client_encoding UTF8. Error: unavailable.
  static Result<Session> connect(
      const std::string& url,
      const std::vector<std::pair<std::string, std::string>>& overrides = {});

  /// One statement by the extended protocol: a second one in the text is a syntax error.
  Answer query(const std::string& sql, std::span<const std::optional<std::string>> parameters = {});
  Answer query(const std::string& sql,
               std::initializer_list<std::optional<std::string>> parameters) {
    return query(sql, std::span(parameters.begin(), parameters.size()));
  }
  /// Like query, parsed and planned once per session: for statements that run often. `sql` has
  /// static storage duration; its address names it.
  Answer prepared(const char* sql, std::initializer_list<std::optional<std::string>> parameters);
  /// The same, given up at the deadline: after that or a loss only destruction is left.
  Answer query_until(std::chrono::steady_clock::time_point deadline, const std::string& sql,
                     std::initializer_list<std::optional<std::string>> parameters = {});
  /// One statement whose rows are thrown away as they come, so that only one is held at a time
  /// (libpq takes any single value that the server sends, up to 1 GB). Deadline as above.
  Answer run_until(std::chrono::steady_clock::time_point deadline, const std::string& sql);
  /// Any number of statements by the simple protocol; the last one's answer. For our own SQL only.
  Answer script(const std::string& sql);

  /// "..." and '...' forms for DDL, which takes no parameters.
  std::string identifier(std::string_view name) const;
  std::string literal(std::string_view value) const;
  /// The SCRAM-SHA-256 verifier of a password, so that the password itself never travels in a
  /// statement (which the server may log). Error: internal.
  Result<std::string> scram_verifier(const std::string& role, const std::string& password) const;

  int backend_pid() const;
  bool is_connected() const;
  /// Connected, and no statement is under way.
  bool is_ready() const;
  /// True when the login is a superuser.
  bool is_superuser();
  /// The server's notices since the last call: at most 1,000, each cut to 1 KiB.
  std::vector<Notice> take_notices();

 private:
  struct Finish {
    void operator()(pg_conn* c) const;
  };
  explicit Session(pg_conn* connection);
  bool send(const std::string& sql, std::span<const std::optional<std::string>> parameters);
  /// The last answer of what was sent.
  Answer collect(std::chrono::steady_clock::time_point deadline);

  std::map<const char*, std::string> statements_;  // prepared: text to name
  std::unique_ptr<std::vector<Notice>> notices_;   // stable address for libpq's callback
  std::unique_ptr<pg_conn, Finish> connection_;
};

}  // namespace raymesh::pg
