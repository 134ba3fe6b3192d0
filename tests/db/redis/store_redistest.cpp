#include "libs/redis/store.hpp"

#include <gtest/gtest.h>

#include <future>

#include "tests/support/io_thread.hpp"
#include "tests/support/redis_fixture.hpp"

namespace raymesh::redis {
namespace {

TEST(RedisStoreTest, SpreadsPartitionsOverItsPrimaries) {
  test::RedisServer one, two;
  test::IoThread io;
  auto store = Store::open(io.context(), {one.url(), two.url()}, "", {});
  ASSERT_TRUE(store.ok());
  for (int i = 0; i < 100; ++i) {
    std::string partition = "project-" + std::to_string(i);
    std::promise<Result<Reply>> answer;
    (*store)->at(partition).call(Command("SET", partition, i), Effect::kWrite,
                                 Client::Clock::now() + std::chrono::seconds(10),
                                 [&](Result<Reply> r) { answer.set_value(std::move(r)); });
    ASSERT_TRUE(answer.get_future().get().ok());
  }
  int first = std::stoi(one.cli({"DBSIZE"})), second = std::stoi(two.cli({"DBSIZE"}));
  EXPECT_EQ(first + second, 100);
  EXPECT_GT(first, 20);
  EXPECT_GT(second, 20);
  EXPECT_TRUE((*store)->ready().ok());
}

TEST(RedisStoreTest, NamesWhatIsWrong) {
  test::IoThread io;
  EXPECT_FALSE(Store::open(io.context(), {}, "", {}).ok());
  auto twice = Store::open(io.context(), {"localhost:1", "redis://localhost:1"}, "", {});
  ASSERT_FALSE(twice.ok());
  EXPECT_NE(twice.error().message.find("twice"), std::string::npos);
  auto bad = Store::open(io.context(), {"localhost:1", "nothing"}, "", {});
  ASSERT_FALSE(bad.ok());
  EXPECT_NE(bad.error().message.find("item 2"), std::string::npos);
  auto away = Store::open(io.context(), {"unix:/nowhere/redis.sock"}, "", {});
  ASSERT_TRUE(away.ok());
  EXPECT_FALSE((*away)->ready().ok());
}

}  // namespace
}  // namespace raymesh::redis
