// Random options from a grammar that knows the language and its mistakes: whatever the query
// builder accepts is a statement that a real server prepares, and running it never fails for its
// syntax.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>

#include "libs/base/json_writer.hpp"
#include "libs/pg/project_identity.hpp"
#include "libs/pg/session.hpp"
#include "services/storage/catalog_sql.hpp"
#include "services/storage/query_builder.hpp"
#include "tests/db/storage/storage_harness.hpp"

namespace raymesh::testing {
namespace {

using storage::Operation;

class Grammar {
 public:
  explicit Grammar(uint32_t seed) : random_(seed) {}

  Operation operation() { return static_cast<Operation>(pick(6)); }

  std::string options() {
    std::vector<std::string> members;
    if (pick(10) > 0) members.push_back("\"where\":" + where(0));
    if (pick(2) == 0) members.push_back("\"data\":" + data());
    if (pick(3) == 0) members.push_back("\"select\":" + list(4, [&] { return quoted_column(); }));
    if (pick(3) == 0) members.push_back("\"orderBy\":" + order_by());
    if (pick(4) == 0) members.push_back("\"limit\":" + number());
    if (pick(4) == 0) members.push_back("\"offset\":" + number());
    if (pick(50) == 0) members.push_back("\"include\":[]");
    std::shuffle(members.begin(), members.end(), random_);
    return join(members, '{', '}');
  }

 private:
  size_t pick(size_t n) { return std::uniform_int_distribution<size_t>(0, n - 1)(random_); }

  static std::string join(const std::vector<std::string>& parts, char open, char close) {
    std::string out(1, open);
    for (const std::string& part : parts) {
      if (out.size() > 1) out += ',';
      out += part;
    }
    return out + close;
  }

  template <class Make>
  std::string list(size_t most, Make make) {
    std::vector<std::string> parts;
    for (size_t n = pick(most + 1); n > 0; --n) parts.push_back(make());
    return join(parts, '[', ']');
  }

  std::string quoted_column() {
    static const std::vector<const char*> columns = {"id",      "big",
                                                     "small",   "n",
                                                     "f",       "s",
                                                     "v",       "c",
                                                     "b",       "j",
                                                     "k",       "d",
                                                     "ts",      "tz",
                                                     "u",       "y",
                                                     "m",       "a",
                                                     "i",       "jj",
                                                     "r",       "ip",
                                                     "x",       "iv",
                                                     "citizen", "we\"ird na;me",
                                                     "mine",    "nope"};
    const size_t last = pick(40) == 0 ? columns.size() : columns.size() - 1;
    return json::quoted(columns[pick(last)]);
  }

  std::string number() {
    static const std::vector<const char*> numbers = {
        "0", "1", "-1", "2.5", "1e3", "1e-3", "9223372036854775808", "1e400", "-0", "10", "7", "3"};
    return numbers[pick(numbers.size())];
  }

  std::string string() {
    static const std::vector<const char*> strings = {
        "",      "a",        "'",     "\"",        "\\",
        "%_",    "5",        "1.5",   "true",      "2024-02-29",
        "[1,2)", "{}",       "{a,b}", "{\"x\":1}", "happy",
        "NULL",  "aGk=",     "1 day", "::1",       "6f1e3f0e-9a4e-4a9e-8f3c-2a1b3c4d5e6f",
        "<a/>",  "infinity", "$1",    "--",        "é😀"};
    return json::quoted(strings[pick(strings.size())]);
  }

  std::string scalar() {
    switch (pick(6)) {
      case 0:
        return "null";
      case 1:
        return pick(2) ? "true" : "false";
      case 2:
      case 3:
        return number();
      default:
        return string();
    }
  }

  std::string value(int depth = 0) {
    if (depth > 3 || pick(4) > 0) return scalar();
    if (pick(2)) return list(3, [&] { return value(depth + 1); });
    return join({"\"k\":" + value(depth + 1)}, '{', '}');
  }

  std::string operators() {
    static const std::vector<const char*> names = {"equals", "eq",       "not",        "gt",
                                                   "gte",    "lt",       "lte",        "in",
                                                   "notIn",  "contains", "startsWith", "endsWith"};
    std::vector<std::string> parts;
    for (size_t n = pick(4); n > 0; --n) {
      const std::string name = names[pick(names.size())];
      const bool is_list = name == "in" || name == "notIn";
      parts.push_back(json::quoted(name) + ":" +
                      (is_list ? list(3, [&] { return value(2); }) : value(2)));
    }
    if (pick(4) == 0) parts.push_back("\"mode\":\"insensitive\"");
    if (pick(60) == 0) parts.push_back("\"near\":1");
    return join(parts, '{', '}');
  }

  std::string where(int depth) {
    std::vector<std::string> parts;
    for (size_t n = pick(4); n > 0; --n) {
      switch (depth < 4 ? pick(8) : 3 + pick(5)) {
        case 0:
          parts.push_back("\"AND\":" + list(3, [&] { return where(depth + 1); }));
          break;
        case 1:
          parts.push_back("\"OR\":" + list(3, [&] { return where(depth + 1); }));
          break;
        case 2:
          parts.push_back("\"NOT\":" + where(depth + 1));
          break;
        case 3:
        case 4:
        case 5:
          parts.push_back(quoted_column() + ":" + operators());
          break;
        default:
          parts.push_back(quoted_column() + ":" + value());
      }
    }
    return join(parts, '{', '}');
  }

  std::string data() {
    std::vector<std::string> parts;
    for (size_t n = 1 + pick(3); n > 0; --n) parts.push_back(quoted_column() + ":" + value());
    return join(parts, '{', '}');
  }

  std::string order_by() {
    std::vector<std::string> parts;
    for (size_t n = pick(3); n > 0; --n) {
      parts.push_back(quoted_column() + (pick(2) ? ":\"asc\"" : ":\"desc\""));
    }
    return join(parts, '{', '}');
  }

  std::mt19937 random_;
};

storage::TableInfo describe(pg::Session& session, const std::string& schema,
                            const std::string& table) {
  const pg::Answer rows = session.query(std::string(storage::kReadTableSql), {schema, table});
  EXPECT_TRUE(rows.ok()) << rows.message();
  storage::TableInfo info{schema, table, {}};
  const auto number = [&](int row, int column) {
    return rows.is_null(row, column)
               ? 0u
               : static_cast<uint32_t>(std::stoul(std::string(rows.text(row, column))));
  };
  for (int row = 0; row < rows.rows(); ++row) {
    info.columns.push_back({.name = std::string(rows.text(row, 3)),
                            .type_oid = number(row, 4),
                            .element_oid = number(row, 6),
                            .category = rows.text(row, 5)[0],
                            .element_category = rows.is_null(row, 7) ? '\0' : rows.text(row, 7)[0],
                            .not_null = rows.text(row, 8) == "t"});
  }
  return info;
}

TEST(QueryPropertyTest, WhatIsAcceptedPreparesAndRuns) {
  PostgresServer::shared().execute("CREATE EXTENSION IF NOT EXISTS citext SCHEMA pg_catalog");
  const TestProject project = TestProject::create("property");
  project.execute(
      "CREATE TYPE mood AS ENUM ('sad', 'happy'); CREATE DOMAIN mine AS text CHECK (value <> 'no');"
      "CREATE TABLE t (id int NOT NULL, big int8, small int2, n numeric, f float8, s text,"
      " v varchar(20), c char(5), b bool, j jsonb, k json, d date, ts timestamp, tz timestamptz,"
      " u uuid, y bytea, m mood, a text[], i int[], jj jsonb[], r int4range, ip inet, x xml,"
      " iv interval, citizen citext, \"we\"\"ird na;me\" text, mine mine)");
  const auto identity = pg::project_identity(project.id, kRoleSecret);
  auto session =
      pg::Session::connect(PostgresServer::shared().url(identity->role, identity->password));
  ASSERT_TRUE(session.ok()) << session.error().message;
  const storage::TableInfo table = describe(*session, project.schema, "t");
  ASSERT_EQ(table.columns.size(), 27u);

  Grammar grammar(20'240'229);
  int accepted = 0;
  int ran = 0;
  std::map<std::string, int> refusals;
  std::map<std::string, int> states;
  for (int i = 0; i < 30'000; ++i) {
    const Operation operation = grammar.operation();
    const std::string options = grammar.options();
    const auto statement = storage::build_query(operation, table, options);
    if (!statement.ok()) {
      EXPECT_EQ(statement.error().http_status(), 400) << options;
      ++refusals[std::string(statement.error().code())];
      continue;
    }
    ++accepted;
    std::vector<std::optional<std::string>> parameters;
    for (const storage::Parameter& p : statement->parameters) parameters.push_back(p.text);
    const pg::Answer answer = session->query(statement->sql, parameters);
    if (answer.ok()) {
      ++ran;
      continue;
    }
    const std::string state(answer.sqlstate());
    ++states[state];
    // A value that is none of the column's type (22), a constraint (23), a type that PostgreSQL
    // does not compare: the caller's own. Never the text of the statement.
    const bool is_xml = state == "42883" && answer.message().find("xml") != std::string::npos;
    const bool is_callers = state.starts_with("22") || state.starts_with("23") || is_xml;
    EXPECT_TRUE(is_callers) << state << " " << answer.message() << "\n"
                            << statement->sql << "\n"
                            << options;
  }
  EXPECT_GT(accepted, 6'000);
  EXPECT_GT(ran, 2'000);
  for (const auto& [state, count] : states) RecordProperty("sqlstate_" + state, count);
  for (const auto& [code, count] : refusals) RecordProperty("refused_" + code, count);
}

}  // namespace
}  // namespace raymesh::testing
