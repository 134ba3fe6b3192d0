#include "libs/pg/session.hpp"

#include <libpq-fe.h>
#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <limits>

namespace raymesh::pg {
namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kMaxNotices = 1000;
constexpr size_t kMaxNoticeBytes = 1024;

std::string one_line(std::string_view text) {
  std::string out(text);
  while (!out.empty() && (out.back() == '\n' || out.back() == ' ')) out.pop_back();
  std::replace(out.begin(), out.end(), '\n', ' ');
  std::replace(out.begin(), out.end(), '\t', ' ');
  return out;
}

std::string_view field(const PGresult* result, int code) {
  const char* text = PQresultErrorField(result, code);
  return text ? text : "";
}

std::string message_of(const PGresult* result) {
  std::string out = one_line(field(result, PG_DIAG_MESSAGE_PRIMARY));
  if (out.empty()) return one_line(PQresultErrorMessage(result));
  if (auto detail = field(result, PG_DIAG_MESSAGE_DETAIL); !detail.empty()) {
    out += " (" + one_line(detail) + ")";
  }
  if (auto hint = field(result, PG_DIAG_MESSAGE_HINT); !hint.empty()) {
    out += " Hint: " + one_line(hint);
  }
  return out;
}

void collect_notice(void* target, const PGresult* result) {
  auto& notices = *static_cast<std::vector<Notice>*>(target);
  if (notices.size() >= kMaxNotices) return;
  std::string message = message_of(result);
  if (message.size() > kMaxNoticeBytes) {
    size_t end = kMaxNoticeBytes;
    while (end > 0 && (static_cast<unsigned char>(message[end]) & 0xC0) == 0x80) --end;
    message.resize(end);
  }
  notices.push_back(
      {std::string(field(result, PG_DIAG_SEVERITY_NONLOCALIZED)), std::move(message)});
}

std::vector<const char*> c_strings(std::span<const std::optional<std::string>> parameters) {
  std::vector<const char*> values;
  values.reserve(parameters.size());
  for (const auto& p : parameters) values.push_back(p ? p->c_str() : nullptr);
  return values;
}

enum class Wait { kReady, kTimeout, kFailed };

Wait wait_readable(int socket, Clock::time_point deadline) {
  while (true) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
    if (left <= 0) return Wait::kTimeout;
    pollfd descriptor{socket, POLLIN, 0};
    const int timeout = static_cast<int>(std::min<int64_t>(left, std::numeric_limits<int>::max()));
    const int ready = poll(&descriptor, 1, timeout);
    if (ready > 0) return Wait::kReady;
    if (ready < 0 && errno != EINTR) return Wait::kFailed;
  }
}

bool is_copy(ExecStatusType status) {
  return status == PGRES_COPY_IN || status == PGRES_COPY_OUT || status == PGRES_COPY_BOTH;
}

}  // namespace

void Answer::Clear::operator()(pg_result* r) const {
  PQclear(r);
}

Answer::Answer(pg_result* result) : result_(result) {}

Answer Answer::lost(std::string_view message) {
  Answer answer(nullptr);
  answer.lost_ = one_line(message);
  return answer;
}

Answer Answer::timed_out_at_deadline() {
  Answer answer = lost("no answer before the deadline");
  answer.timed_out_ = true;
  return answer;
}

bool Answer::ok() const {
  const ExecStatusType status = PQresultStatus(result_.get());
  return status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK || status == PGRES_EMPTY_QUERY;
}

std::string_view Answer::sqlstate() const {
  return result_ ? field(result_.get(), PG_DIAG_SQLSTATE) : std::string_view{};
}

std::string Answer::message() const {
  return result_ ? message_of(result_.get()) : lost_;
}

int Answer::position() const {
  if (!result_) return 0;
  int position = 0;
  for (char c : field(result_.get(), PG_DIAG_STATEMENT_POSITION))
    position = position * 10 + c - '0';
  return position;
}

int Answer::rows() const {
  return PQntuples(result_.get());
}

bool Answer::is_null(int row, int column) const {
  return PQgetisnull(result_.get(), row, column) != 0;
}

std::string_view Answer::text(int row, int column) const {
  return {PQgetvalue(result_.get(), row, column),
          static_cast<size_t>(PQgetlength(result_.get(), row, column))};
}

std::string_view Answer::command_tag() const {
  return result_ ? PQcmdStatus(result_.get()) : "";
}

Status Answer::status(const ErrorKind& kind, std::string_view what) const {
  if (ok()) return ok_status();
  return Error(sqlstate().empty() ? errors::kUnavailable : kind,
               std::string(what) + ": " + message());
}

void Session::Finish::operator()(pg_conn* c) const {
  PQfinish(c);
}

Session::Session(pg_conn* connection)
    : notices_(std::make_unique<std::vector<Notice>>()), connection_(connection) {
  PQsetNoticeReceiver(connection, collect_notice, notices_.get());
}

Result<Session> Session::connect(
    const std::string& url, const std::vector<std::pair<std::string, std::string>>& overrides) {
  // Later keywords win over earlier ones, and the first dbname is expanded as a connection string.
  std::vector<const char*> keywords = {"connect_timeout", "dbname", "client_encoding"};
  std::vector<const char*> values = {"10", url.c_str(), "UTF8"};
  for (const auto& [keyword, value] : overrides) {
    keywords.push_back(keyword.c_str());
    values.push_back(value.c_str());
  }
  keywords.push_back(nullptr);
  values.push_back(nullptr);
  Session session(PQconnectdbParams(keywords.data(), values.data(), 1));
  if (!session.is_connected()) {
    return Error(errors::kUnavailable, "cannot connect to PostgreSQL: " +
                                           one_line(PQerrorMessage(session.connection_.get())));
  }
  return session;
}

Answer Session::query(const std::string& sql,
                      std::span<const std::optional<std::string>> parameters) {
  const std::vector<const char*> values = c_strings(parameters);
  PGresult* result = PQexecParams(connection_.get(), sql.c_str(), static_cast<int>(values.size()),
                                  nullptr, values.data(), nullptr, nullptr, 0);
  if (!result) return Answer::lost(PQerrorMessage(connection_.get()));
  return Answer(result);
}

Answer Session::prepared(const char* sql,
                         std::initializer_list<std::optional<std::string>> parameters) {
  auto known = statements_.find(sql);
  if (known == statements_.end()) {
    std::string name = "s" + std::to_string(statements_.size());
    PGresult* result = PQprepare(connection_.get(), name.c_str(), sql, 0, nullptr);
    if (!result) return Answer::lost(PQerrorMessage(connection_.get()));
    Answer answer(result);
    if (!answer.ok()) return answer;
    known = statements_.emplace(sql, std::move(name)).first;
  }
  const std::vector<const char*> values = c_strings(parameters);
  PGresult* result =
      PQexecPrepared(connection_.get(), known->second.c_str(), static_cast<int>(values.size()),
                     values.data(), nullptr, nullptr, 0);
  if (!result) return Answer::lost(PQerrorMessage(connection_.get()));
  return Answer(result);
}

bool Session::send(const std::string& sql, std::span<const std::optional<std::string>> parameters) {
  const std::vector<const char*> values = c_strings(parameters);
  return PQsendQueryParams(connection_.get(), sql.c_str(), static_cast<int>(values.size()), nullptr,
                           values.data(), nullptr, nullptr, 0) != 0;
}

Answer Session::collect(Clock::time_point deadline) {
  PGconn* c = connection_.get();
  Answer last = Answer::lost("no answer");
  while (true) {
    while (PQisBusy(c)) {
      const Wait wait = wait_readable(PQsocket(c), deadline);
      if (wait == Wait::kTimeout) return Answer::timed_out_at_deadline();
      if (wait == Wait::kFailed || !PQconsumeInput(c)) return Answer::lost(PQerrorMessage(c));
    }
    if (Clock::now() >= deadline) return Answer::timed_out_at_deadline();
    PGresult* result = PQgetResult(c);
    if (!result) return last;
    const ExecStatusType status = PQresultStatus(result);
    Answer answer(result);
    if (is_copy(status)) return Answer::lost("the statement wants to copy rows");
    if (status != PGRES_SINGLE_TUPLE) last = std::move(answer);
  }
}

Answer Session::query_until(Clock::time_point deadline, const std::string& sql,
                            std::initializer_list<std::optional<std::string>> parameters) {
  if (!send(sql, std::span(parameters.begin(), parameters.size()))) {
    return Answer::lost(PQerrorMessage(connection_.get()));
  }
  return collect(deadline);
}

Answer Session::run_until(Clock::time_point deadline, const std::string& sql) {
  if (!send(sql, {})) return Answer::lost(PQerrorMessage(connection_.get()));
  PQsetSingleRowMode(connection_.get());
  return collect(deadline);
}

Answer Session::script(const std::string& sql) {
  PGresult* result = PQexec(connection_.get(), sql.c_str());
  if (!result) return Answer::lost(PQerrorMessage(connection_.get()));
  return Answer(result);
}

std::string Session::identifier(std::string_view name) const {
  std::unique_ptr<char, decltype(&PQfreemem)> text(
      PQescapeIdentifier(connection_.get(), name.data(), name.size()), &PQfreemem);
  return text ? text.get() : "";
}

std::string Session::literal(std::string_view value) const {
  std::unique_ptr<char, decltype(&PQfreemem)> text(
      PQescapeLiteral(connection_.get(), value.data(), value.size()), &PQfreemem);
  return text ? text.get() : "";
}

Result<std::string> Session::scram_verifier(const std::string& role,
                                            const std::string& password) const {
  std::unique_ptr<char, decltype(&PQfreemem)> text(
      PQencryptPasswordConn(connection_.get(), password.c_str(), role.c_str(), "scram-sha-256"),
      &PQfreemem);
  if (!text) {
    return Error(errors::kInternal,
                 "cannot make a password verifier: " + one_line(PQerrorMessage(connection_.get())));
  }
  return std::string(text.get());
}

int Session::backend_pid() const {
  return PQbackendPID(connection_.get());
}

bool Session::is_connected() const {
  return PQstatus(connection_.get()) == CONNECTION_OK;
}

bool Session::is_ready() const {
  const PGTransactionStatusType status = PQtransactionStatus(connection_.get());
  return status != PQTRANS_ACTIVE && status != PQTRANS_UNKNOWN;
}

bool Session::is_superuser() {
  // Reported by the server at the start of the session and on every change.
  const char* value = PQparameterStatus(connection_.get(), "is_superuser");
  return value && std::string_view(value) == "on";
}

std::vector<Notice> Session::take_notices() {
  return std::exchange(*notices_, {});
}

}  // namespace raymesh::pg
