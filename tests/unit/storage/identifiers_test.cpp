#include "services/storage/identifiers.hpp"

#include <gtest/gtest.h>

namespace raymesh::storage {
namespace {

TEST(IdentifiersTest, AcceptsEveryNameThatPostgresqlCanHold) {
  for (std::string_view name : {"users", "user-profiles", "Users", "1st", "a b", "a\"b", "naïve",
                                "表", "select", "a.b", "'; drop table users; --", "$1", "\\"}) {
    EXPECT_TRUE(check_identifier(name, "table").ok()) << name;
  }
  EXPECT_TRUE(check_identifier(std::string(63, 'a'), "table").ok());
}

TEST(IdentifiersTest, RefusesWhatPostgresqlWouldCutOrCannotHold) {
  using namespace std::string_view_literals;
  for (std::string_view name : {""sv, "a\0b"sv, "\0"sv, "a\nb"sv, "a\tb"sv, "\x7f"sv, "\xff"sv,
                                "\xc3"sv, "\xed\xa0\x80"sv}) {
    const Status status = check_identifier(name, "table");
    ASSERT_FALSE(status.ok()) << name;
    EXPECT_EQ(status.error().code(), "invalid_identifier");
  }
  EXPECT_FALSE(check_identifier(std::string(64, 'a'), "table").ok());
  EXPECT_FALSE(check_identifier(std::string(62, 'a') + "é", "table").ok());
}

TEST(IdentifiersTest, MessageOfAHugeNameIsShort) {
  const Status status = check_identifier(std::string(1'000'000, 'a'), "column");
  ASSERT_FALSE(status.ok());
  EXPECT_LT(status.error().message.size(), 200u);
}

TEST(IdentifiersTest, DoublesQuotes) {
  std::string sql = "SELECT ";
  append_identifier(sql, "a\"b\"\"");
  EXPECT_EQ(sql, R"(SELECT "a""b""""")");
}

}  // namespace
}  // namespace raymesh::storage
