#include "services/auth/account_rules.hpp"

#include <gtest/gtest.h>

namespace raymesh::auth {
namespace {

TEST(CleanEmailTest, TrimsAndKeepsTheRest) {
  EXPECT_EQ(clean_email(" \tAda@Example.org\r\n").value(), "Ada@Example.org");
  EXPECT_EQ(clean_email("a@b").value(), "a@b");
  EXPECT_EQ(clean_email("o'neil+tag@sub.example.org").value(), "o'neil+tag@sub.example.org");
  EXPECT_EQ(clean_email("jörg@müller.example").value(), "jörg@müller.example");
}

TEST(CleanEmailTest, RefusesWhatCannotBeOne) {
  const std::string long_local = std::string(65, 'a') + "@b.org";
  const std::string long_all = "a@" + std::string(253, 'b');
  for (const std::string& email :
       {std::string(), std::string(" "), std::string("@"), std::string("a@"), std::string("@b"),
        std::string("a"), std::string("a@b@c"), std::string("a b@c"), std::string("a@b c"),
        std::string("a\0b@c", 5), std::string("a\n@c"), std::string("a@.org"), std::string("a@b."),
        std::string("a\x7f@b"), std::string("\xff@b.org"), long_local, long_all}) {
    auto result = clean_email(email);
    ASSERT_FALSE(result.ok()) << email;
    EXPECT_TRUE(result.error().is(errors::kInvalidEmail));
  }
}

TEST(EmailKeyTest, FoldsAsciiOnly) {
  EXPECT_EQ(email_key("Ada@EXAMPLE.org"), "ada@example.org");
  EXPECT_EQ(email_key("JÖRG@b"), "jÖrg@b");
}

TEST(NewPasswordTest, CountsCharactersNotBytes) {
  EXPECT_FALSE(check_new_password("1234567").ok());
  EXPECT_TRUE(check_new_password("12345678").ok());
  EXPECT_TRUE(check_new_password("äöüäöüäö").ok());
  EXPECT_FALSE(check_new_password("äöüä").ok());  // 8 bytes
  std::string longest;
  for (int i = 0; i < 200; ++i) longest += "\xf0\x9f\x94\x91";
  EXPECT_TRUE(check_new_password(longest).ok());
  EXPECT_TRUE(check_new_password(longest + "x").error().is(errors::kWeakPassword));
  EXPECT_FALSE(check_new_password("\xff\xff\xff\xff\xff\xff\xff\xff").ok());
}

TEST(RoleNameTest, Examples) {
  for (const char* role : {"a", "admin", "Team.Lead-2_x"}) EXPECT_TRUE(is_role_name(role)) << role;
  for (const char* role : {"", "1a", "_a", "a b", "a,b", "a\"b", "ä", "a\n"})
    EXPECT_FALSE(is_role_name(role)) << role;
  EXPECT_TRUE(is_role_name(std::string(64, 'r')));
  EXPECT_FALSE(is_role_name(std::string(65, 'r')));
}

TEST(DisplayNameTest, IsPlainText) {
  EXPECT_TRUE(is_display_name(""));
  EXPECT_TRUE(is_display_name("Ada Lovelace ✨"));
  EXPECT_FALSE(is_display_name("a\nb"));
  EXPECT_FALSE(is_display_name("\xc3\x28"));
  EXPECT_FALSE(is_display_name(std::string(201, 'a')));
}

}  // namespace
}  // namespace raymesh::auth
