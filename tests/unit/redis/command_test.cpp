#include "libs/redis/command.hpp"

#include <gtest/gtest.h>

#include "libs/redis/script.hpp"

namespace raymesh::redis {
namespace {

using namespace std::string_literals;

std::string encoded(const Command& command, const Command* first = nullptr) {
  std::string out;
  command.append_to(out, first);
  return out;
}

TEST(RedisCommandTest, EncodesAnyBytes) {
  std::string value("a\r\n\0b", 5);
  EXPECT_EQ(encoded(Command("SET", "", value)), "*3\r\n$3\r\nSET\r\n$0\r\n\r\n$5\r\na\r\n\0b\r\n"s);
}

TEST(RedisCommandTest, EncodesNumbers) {
  EXPECT_EQ(encoded(Command("GETRANGE", "k", -1, uint64_t{18446744073709551615u})),
            "*4\r\n$8\r\nGETRANGE\r\n$1\r\nk\r\n$2\r\n-1\r\n$20\r\n18446744073709551615\r\n");
}

TEST(RedisScriptTest, CallsByDigestOrWithSource) {
  Script script("return 1");
  EXPECT_EQ(script.digest(), "e0e1f9fabfc9d4800c877a703b823ac0578ff8db");  // SCRIPT LOAD's answer
  Command tail;
  tail.arg(0);
  EXPECT_EQ(encoded(tail, &script.eval()), "*3\r\n$4\r\nEVAL\r\n$8\r\nreturn 1\r\n$1\r\n0\r\n");
  EXPECT_EQ(encoded(tail, &script.evalsha()),
            "*3\r\n$7\r\nEVALSHA\r\n$40\r\n" + script.digest() + "\r\n$1\r\n0\r\n");
}

}  // namespace
}  // namespace raymesh::redis
