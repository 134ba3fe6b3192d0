#include "services/storage/sql_splitter.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace raymesh::storage {
namespace {

using Texts = std::vector<std::string>;

Texts texts(std::string_view sql) {
  const auto script = split_sql(sql);
  EXPECT_TRUE(script.ok()) << sql << ": " << script.error().message;
  Texts out;
  for (const SqlStatement& s : script->statements) out.emplace_back(s.text);
  return out;
}

TEST(SqlSplitterTest, CutsAtTheStatementsEnds) {
  EXPECT_EQ(texts(""), Texts{});
  EXPECT_EQ(texts(" ;; -- nothing\n ; /* */"), Texts{});
  EXPECT_EQ(texts("select 1"), Texts{"select 1"});
  EXPECT_EQ(texts("select 1;"), Texts{"select 1"});
  EXPECT_EQ(texts(" select 1 ; select 2 "), (Texts{"select 1 ", "select 2 "}));
}

TEST(SqlSplitterTest, SeesThroughQuotesAndComments) {
  EXPECT_EQ(texts("select ';', \"a;b\" from t"), Texts{"select ';', \"a;b\" from t"});
  EXPECT_EQ(texts("select $$a;b$$, $x$ $$; $x$"), Texts{"select $$a;b$$, $x$ $$; $x$"});
  EXPECT_EQ(texts("/* a; /* b; */ */ select 1 -- ;\n; select 2"),
            (Texts{"select 1 -- ;\n", "select 2"}));
  EXPECT_EQ(texts("-- a\rselect 1"), Texts{"select 1"});
  EXPECT_EQ(texts("select E'\\';', 'a''; b'"), Texts{"select E'\\';', 'a''; b'"});
  EXPECT_EQ(texts("create function f() returns int language plpgsql as 'begin; return 1; end'"),
            Texts{"create function f() returns int language plpgsql as 'begin; return 1; end'"});
  EXPECT_EQ(
      texts("create function f() returns int begin atomic select 1; select 2; end; select 3"),
      (Texts{"create function f() returns int begin atomic select 1; select 2; end", "select 3"}));
}

TEST(SqlSplitterTest, CountsLines) {
  const auto script = split_sql("select 1;\n\n-- c\n  select\n 2; /* \n */ select 'é\n'; select 4");
  ASSERT_TRUE(script.ok());
  std::vector<size_t> lines;
  for (const SqlStatement& s : script->statements) lines.push_back(s.line);
  EXPECT_EQ(lines, (std::vector<size_t>{1, 4, 6, 7}));
}

TEST(SqlSplitterTest, NamesTheKind) {
  const auto script = split_sql("create table t(a int); insert into t values (1); do 'begin end'");
  ASSERT_TRUE(script.ok());
  EXPECT_EQ(script->statements[0].kind, "CreateStmt");
  EXPECT_EQ(script->statements[1].kind, "InsertStmt");
  EXPECT_EQ(script->statements[2].kind, "DoStmt");
}

TEST(SqlSplitterTest, TellsWhereTheSyntaxErrorIs) {
  const auto script = split_sql("select 'é';\nselect 1;\n\n  selct 2");
  ASSERT_FALSE(script.ok());
  EXPECT_EQ(script.error().code(), "migration_failed");
  EXPECT_EQ(script.error().message, "line 4: syntax error at or near \"selct\"");
}

TEST(SqlSplitterTest, RefusesWhatIsNoText) {
  using namespace std::string_view_literals;
  EXPECT_EQ(split_sql("select 1;\0drop table t"sv).error().code(), "invalid_request");
  EXPECT_EQ(split_sql("select '\xff'").error().code(), "invalid_request");
}

TEST(SqlSplitterTest, SurvivesTheDeepestTree) {
  std::string sql = "select 1";
  while (sql.size() < 1024 * 1024) sql += "+1";
  const auto script = split_sql(sql);
  ASSERT_TRUE(script.ok());
  EXPECT_EQ(script->statements.size(), 1u);
  EXPECT_FALSE(split_sql("select " + std::string(500'000, '(')).ok());
}

TEST(SqlSplitterTest, FindsTheLineOfACharacter) {
  EXPECT_EQ(line_of_character("a\nb\nc", 1), 1u);
  EXPECT_EQ(line_of_character("a\nb\nc", 3), 2u);
  EXPECT_EQ(line_of_character("é\nb", 3), 2u);
  EXPECT_EQ(line_of_character("a", 99), 1u);
  EXPECT_EQ(line_of_character("", 0), 1u);
}

}  // namespace
}  // namespace raymesh::storage
