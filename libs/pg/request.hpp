// One statement on its way through the pools, and who takes its answer. Made on any thread, handed
// to ProjectPools, which owns it from then on; the sink is called on the pools' I/O thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "libs/base/result.hpp"
#include "libs/pg/wire.hpp"

namespace raymesh::pg {

using Clock = std::chrono::steady_clock;

/// The columns of a prepared statement's rows. Lives as long as the statement, so that a sink can
/// keep with it what it works out once per statement.
struct ResultColumns {
  std::vector<ResultColumn> columns;
  /// Whatever the first sink put there; used by the I/O thread only.
  mutable std::shared_ptr<const void> plan;
};

/// What became of a request.
struct Outcome {
  enum class Kind {
    kDone,     // the server ran it and its Sync came back
    kRefused,  // the server answered `server_error`; nothing was changed
    kFailed,   // it was not run, or (outcome_unknown) nobody knows: see `error`
  };
  Kind kind = Kind::kFailed;
  uint64_t affected_rows = 0;
  std::unique_ptr<ServerError> server_error;
  Error error;
};

/// Takes one answer: any number of [begin, row...] and then done, once. A second begin() means that
/// the statement is run again and the rows so far are void.
class AnswerSink {
 public:
  virtual ~AnswerSink() = default;
  virtual void begin(const ResultColumns& columns) = 0;
  /// As many fields as there are columns; they point into the read buffer. False: the sink wants no
  /// more rows (they are still read, and dropped).
  virtual bool row(std::span<const Field> fields) = 0;
  /// A row was longer than the connection's limit and has been dropped.
  virtual void oversized_row() = 0;
  virtual void done(Outcome outcome) = 0;
};

struct Request {
  /// `sql` is one statement without NUL bytes.
  Request(std::string_view sql, Parameters p, std::unique_ptr<AnswerSink> s)
      : parameters(std::move(p)), sink(std::move(s)), sql_size(sql.size()) {
    key.reserve(sql.size() + 1 + parameters.types().size());
    key = sql;
    key += '\0';
    key += parameters.types();
  }

  std::string_view sql() const { return std::string_view(key).substr(0, sql_size); }
  size_t bytes() const { return key.size() + parameters.values().size(); }

  Parameters parameters;
  std::unique_ptr<AnswerSink> sink;
  /// Repeating it is not safe.
  bool is_write = false;
  /// It may run code of the project (triggers, views, defaults), which could change settings of the
  /// session: they are reset right behind it.
  bool runs_foreign_code = false;
  /// Until when it may wait for a connection.
  Clock::time_point deadline = Clock::time_point::max();

  /// What identifies the prepared statement: the SQL text and the parameters' types.
  std::string key;
  size_t sql_size;
  /// How often it was handed to a connection.
  int attempts = 0;
};
using RequestPtr = std::unique_ptr<Request>;

}  // namespace raymesh::pg
