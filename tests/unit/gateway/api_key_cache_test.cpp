#include "services/gateway/api_key_cache.hpp"

#include <gtest/gtest.h>

namespace raymesh::gateway {
namespace {

using namespace std::chrono_literals;
using State = ApiKeyCache::Found::State;

KeyInfoPtr key(const std::string& id) {
  auto info = std::make_shared<KeyInfo>();
  info->key_id = id;
  return info;
}

struct ApiKeyCacheTest : ::testing::Test {
  ApiKeyCache cache{{.max_known = 3, .max_unknown = 3}};
  ApiKeyCache::Clock::time_point now{};
};

TEST_F(ApiKeyCacheTest, KnowsAKeyUntilItsLifeEnds) {
  EXPECT_EQ(cache.find("a", now).state, State::kMiss);
  cache.put("a", key("k"), now);
  EXPECT_EQ(cache.find("a", now + 4999ms).info->key_id, "k");
  EXPECT_EQ(cache.find("a", now + 5000ms).state, State::kMiss);
}

TEST_F(ApiKeyCacheTest, TellsOneCallerToRefreshBeforeTheEnd) {
  cache.put("a", key("k"), now);
  EXPECT_FALSE(cache.find("a", now + 2999ms).refresh);
  EXPECT_TRUE(cache.find("a", now + 3000ms).refresh);
  EXPECT_FALSE(cache.find("a", now + 3001ms).refresh);
  EXPECT_TRUE(cache.find("a", now + 3500ms).refresh);  // no answer came
  cache.put("a", key("new"), now + 3600ms);
  EXPECT_EQ(cache.find("a", now + 8000ms).info->key_id, "new");
}

TEST_F(ApiKeyCacheTest, RemembersUnknownKeysForAShorterTime) {
  cache.put("x", nullptr, now);
  EXPECT_EQ(cache.find("x", now + 1999ms).state, State::kUnknown);
  EXPECT_EQ(cache.find("x", now + 2000ms).state, State::kMiss);
}

TEST_F(ApiKeyCacheTest, ARevokedKeyIsUnknownAtOnce) {
  cache.put("a", key("k"), now);
  cache.put("a", nullptr, now);
  EXPECT_EQ(cache.find("a", now).state, State::kUnknown);
  cache.put("a", key("k"), now);
  EXPECT_EQ(cache.find("a", now).state, State::kKnown);
}

TEST_F(ApiKeyCacheTest, AKeyInUseChangesAtOnce) {
  cache.put("a", key("old"), now);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(cache.find("a", now).info->key_id, "old");
  cache.put("a", key("new"), now);
  EXPECT_EQ(cache.find("a", now).info->key_id, "new");
  cache.put("a", nullptr, now);
  EXPECT_EQ(cache.find("a", now).state, State::kUnknown);
}

TEST_F(ApiKeyCacheTest, KeysThatAreUsedInTurnAreToldApart) {
  ApiKeyCache large({});
  for (int i = 0; i < 300; ++i) large.put(std::to_string(i), key(std::to_string(i)), now);
  for (int round = 0; round < 2; ++round)
    for (int i = 0; i < 300; ++i)
      ASSERT_EQ(large.find(std::to_string(i), now).info->key_id, std::to_string(i));
}

TEST_F(ApiKeyCacheTest, GuessesDoNotPushOutKnownKeys) {
  cache.put("a", key("k"), now);
  for (int i = 0; i < 1000; ++i) cache.put("guess" + std::to_string(i), nullptr, now);
  EXPECT_EQ(cache.find("a", now).state, State::kKnown);
  EXPECT_EQ(cache.find("guess0", now).state, State::kMiss);
  EXPECT_EQ(cache.find("guess999", now).state, State::kUnknown);
}

}  // namespace
}  // namespace raymesh::gateway
