// Hostile names and values in every place of a query, against a real server: they are data, or they
// are refused.
#include <gtest/gtest.h>

#include "libs/base/json_writer.hpp"
#include "tests/db/storage/storage_harness.hpp"

namespace raymesh::testing {
namespace {

const std::vector<std::string>& hostile_texts() {
  static const std::vector<std::string> texts = {
      "'",
      "''",
      "\"",
      "\\",
      "\\'",
      "'; DROP TABLE canary; --",
      "\"; DROP TABLE canary; --",
      "1; DROP TABLE canary",
      "' OR '1'='1",
      "\" OR \"\"=\"",
      "x' UNION SELECT note FROM canary --",
      "$1",
      "$$; DROP TABLE canary; $$",
      "$a$",
      "/* */ --",
      "E'\\x27'",
      "%",
      "_",
      "\\%",
      "a\nb\tc\rd",
      "{a,b}",
      "{\"a\":1}",
      "NULL",
      "null",
      "(1,2)",
      "\xEF\xBC\x87",      // FULLWIDTH APOSTROPHE
      "\xCA\xBC",          // MODIFIER LETTER APOSTROPHE
      "\xF0\x9F\x98\x80",  // outside the BMP
      "pg_sleep(10)",
      "(SELECT note FROM canary)",
      std::string(100'000, '\''),
  };
  return texts;
}

std::string object(const std::string& key, const std::string& json) {
  return "{" + json::quoted(key) + ":" + json + "}";
}

class InjectionValuesTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    project_ = TestProject::create("inject");
    project_.execute(
        "CREATE TABLE canary (note text); INSERT INTO canary VALUES ('alive');"
        "CREATE TYPE mood AS ENUM ('sad', 'happy');"
        "CREATE TABLE t (id int PRIMARY KEY, s text, v varchar(20), c char(5), n numeric, f float8,"
        " b bool, j jsonb, k json, d date, ts timestamp, tz timestamptz, u uuid, y bytea, m mood,"
        " a text[], i int[], jj jsonb[], r int4range, ip inet, x xml, iv interval)");
  }
  void SetUp() override {
    project_.execute("TRUNCATE t; INSERT INTO t (id, s) VALUES (1, 'one'), (2, 'two')");
  }
  void TearDown() override {
    EXPECT_EQ(storage_.text(project_, "find", "canary"), R"([{"note":"alive"}])");
    EXPECT_EQ(storage_.text(project_, "count", "t", R"({"where":{"id":[1,2]}})"), "2");
  }

  static inline TestProject project_;
  StorageHarness storage_;
};

TEST_F(InjectionValuesTest, TextComesBackAsItWent) {
  int id = 10;
  for (const std::string& text : hostile_texts()) {
    const std::string json = json::quoted(text);
    ASSERT_EQ(storage_.code(project_, "insert", "t",
                            object("data", "{\"id\":" + std::to_string(++id) + ",\"s\":" + json +
                                               ",\"a\":[" + json + "]}")),
              "ok")
        << text.substr(0, 40);
    const std::string where = "{\"where\":{\"s\":" + json + "},\"select\":[\"id\"]}";
    EXPECT_EQ(storage_.text(project_, "find", "t", where), "[{\"id\":" + std::to_string(id) + "}]")
        << text.substr(0, 40);
    for (const char* op : {"contains", "startsWith", "endsWith"}) {
      const std::string only_itself =
          "{\"where\":{\"id\":" + std::to_string(id) + ",\"s\":" + object(op, json) + "}}";
      EXPECT_EQ(storage_.text(project_, "count", "t", only_itself), "1") << text.substr(0, 40);
    }
    EXPECT_EQ(storage_.text(project_, "count", "t", "{\"where\":{\"a\":[" + json + "]}}"), "1")
        << text.substr(0, 40);
  }
}

TEST_F(InjectionValuesTest, EveryColumnTakesAHostileStringAsAValueOrRefusesIt) {
  for (const char* column : {"id", "s", "v", "c", "n", "f", "b",  "j", "k",  "d", "ts",
                             "tz", "u", "y", "m", "a", "i", "jj", "r", "ip", "x", "iv"}) {
    for (const std::string& text : hostile_texts()) {
      const std::string json = json::quoted(text);
      for (const std::string& condition :
           {json, object("equals", json), object("not", json), object("gt", json),
            object("in", "[" + json + "]"), object("notIn", "[" + json + "]"),
            object("contains", json)}) {
        const auto found = storage_.run(
            project_, "find", "t",
            object("where", "{\"id\":0," + json::quoted(column) + ":" + condition + "}"));
        if (found.ok()) {
          EXPECT_EQ(*found, "[]");
        } else {
          EXPECT_EQ(found.error().http_status(), 400)
              << column << " " << condition.substr(0, 80) << ": " << found.error().message;
        }
      }
      const auto updated = storage_.run(
          project_, "update", "t", "{\"where\":{\"id\":0},\"data\":" + object(column, json) + "}");
      if (!updated.ok()) {
        EXPECT_EQ(updated.error().http_status(), 400) << column << " " << text.substr(0, 40);
      }
    }
  }
}

TEST_F(InjectionValuesTest, HostileColumnNamesAreUnknown) {
  for (const std::string& name : hostile_texts()) {
    for (const std::string& options :
         {object("where", object(name, "1")), object("where", object(name, "{\"gt\":1}")),
          object("select", "[" + json::quoted(name) + "]"),
          object("orderBy", object(name, "\"asc\"")),
          object("where", "{\"OR\":[" + object(name, "null") + "]}")}) {
      const std::string code = storage_.code(project_, "find", "t", options);
      EXPECT_TRUE(code == "unknown_column" || code == "invalid_identifier") << options << code;
    }
    const std::string code =
        storage_.code(project_, "insert", "t", object("data", object(name, "1")));
    EXPECT_TRUE(code == "unknown_column" || code == "invalid_identifier") << code;
  }
}

TEST_F(InjectionValuesTest, HostileTableNamesAreUnknown) {
  for (const std::string& name : hostile_texts()) {
    const std::string code = storage_.code(project_, "find", name);
    EXPECT_TRUE(code == "unknown_table" || code == "invalid_identifier") << name << " " << code;
  }
  for (const char* name : {"pg_class", "pg_authid", "pg_catalog.pg_class", "p_inject.t",
                           "raymesh_storage.projects", "information_schema.tables"}) {
    EXPECT_EQ(storage_.code(project_, "find", name), "unknown_table") << name;
  }
}

TEST_F(InjectionValuesTest, HostileNamesThatExistAreOrdinaryNames) {
  int made = 0;
  for (const std::string& name : hostile_texts()) {
    if (name.size() > 63 || name.find_first_of("\n\r\t") != std::string::npos) continue;
    std::string quoted;
    for (char c : name) quoted += c == '"' ? "\"\"" : std::string(1, c);
    project_.execute("CREATE TABLE \"" + quoted + "\" (id int, \"" + quoted + "\" text)");
    ASSERT_EQ(storage_.code(project_, "insert", name,
                            object("data", "{\"id\":7," + json::quoted(name) + ":\"v\"}")),
              "ok")
        << name;
    EXPECT_EQ(storage_.text(project_, "find", name,
                            "{\"where\":" + object(name, "\"v\"") +
                                ",\"orderBy\":" + object(name, "\"desc\"") + "}"),
              "[{\"id\":7," + json::quoted(name) + ":\"v\"}]")
        << name;
    EXPECT_EQ(storage_.text(project_, "delete", name, object("where", object(name, "\"v\""))),
              R"({"count":1})")
        << name;
    ++made;
  }
  EXPECT_GT(made, 20);
}

TEST_F(InjectionValuesTest, HostileOperatorsDirectionsAndPages) {
  for (const std::string& text : hostile_texts()) {
    const std::string json = json::quoted(text);
    EXPECT_EQ(
        storage_.code(project_, "find", "t", object("where", object("id", object(text, "1")))),
        "unsupported_operator");
    EXPECT_EQ(storage_.code(project_, "find", "t", object("orderBy", object("id", json))),
              "invalid_request");
    EXPECT_EQ(storage_.code(project_, "find", "t", object("limit", json)), "invalid_request");
    EXPECT_EQ(storage_.code(project_, "find", "t", object("offset", json)), "invalid_request");
    EXPECT_EQ(storage_.code(project_, "find", "t", object(text, "1")), "invalid_request");
    EXPECT_EQ(storage_.code(project_, text, "t"), "invalid_operation");
  }
}

}  // namespace
}  // namespace raymesh::testing
