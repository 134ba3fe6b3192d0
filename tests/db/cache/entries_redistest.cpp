#include <gtest/gtest.h>

#include "services/cache/keyspace.hpp"
#include "tests/db/cache/cache_harness.hpp"

namespace raymesh::cache {
namespace {

using Members = std::vector<std::string>;

class EntriesTest : public ::testing::Test {
 protected:
  CacheHarness cache_;
};

TEST_F(EntriesTest, ValuesComeBackAsTheyWentIn) {
  for (const char* json : {"null", "0", "-1.5", "\"\"", "\"\\u65e5 \\\"\"", "[1,[2,null]]",
                           "{\"a\":{\"b\":[]}}", " 1 "}) {
    ASSERT_TRUE(*cache_.set("k", json)) << json;
    EXPECT_EQ((*cache_.get("k")).value(), json);
  }
  EXPECT_EQ(*cache_.get("none"), std::nullopt);
}

TEST_F(EntriesTest, LargeValuesFitUpToTheBound) {
  const std::string fits = '"' + std::string((1u << 20) - 2, 'x') + '"';
  ASSERT_TRUE(*cache_.set("k", fits));
  EXPECT_EQ((*cache_.get("k")).value(), fits);
  EXPECT_EQ(code_of(cache_.set("k", fits + " ")), "value_too_large");
}

TEST_F(EntriesTest, ATtlEndsAnEntryAndAPlainSetClearsIt) {
  ASSERT_TRUE(*cache_.set("short", "1", 1));
  ASSERT_TRUE(*cache_.set("kept", "1", 1));
  ASSERT_TRUE(*cache_.set("kept", "2"));
  EXPECT_TRUE(eventually([&] { return !cache_.get("short")->has_value(); }));
  EXPECT_EQ((*cache_.get("kept")).value(), "2");
  EXPECT_EQ(cache_.cache_redis.cli({"TTL", "v:dev:kept"}), "-1");
}

TEST_F(EntriesTest, OnlyIfAbsentSetsOnce) {
  EXPECT_TRUE(*cache_.set("k", "1", 0, true));
  EXPECT_FALSE(*cache_.set("k", "2", 0, true));
  EXPECT_EQ((*cache_.get("k")).value(), "1");
  // Any type is there.
  ASSERT_TRUE(cache_.change_set("SetAdd", "s", {"x"}).ok());
  EXPECT_FALSE(*cache_.set("s", "2", 0, true));
  // An entry that has expired is not.
  ASSERT_TRUE(*cache_.set("gone", "1", 1, true));
  EXPECT_TRUE(eventually([&] { return *cache_.set("gone", "2", 0, true); }));
}

TEST_F(EntriesTest, DeletingSaysWhetherItWasThere) {
  EXPECT_FALSE(*cache_.erase("k"));
  ASSERT_TRUE(*cache_.set("k", "1"));
  EXPECT_TRUE(*cache_.erase("k"));
  EXPECT_EQ(*cache_.get("k"), std::nullopt);
  ASSERT_TRUE(cache_.hash_set("k", {{"a", "1"}}).ok());
  EXPECT_TRUE(*cache_.erase("k"));
}

TEST_F(EntriesTest, ExpireSetsAndRemovesATtl) {
  EXPECT_FALSE(*cache_.expire("k", 5));
  EXPECT_FALSE(*cache_.expire("k", 0));
  ASSERT_TRUE(*cache_.set("k", "1"));
  EXPECT_TRUE(*cache_.expire("k", 100));
  EXPECT_NE(cache_.cache_redis.cli({"TTL", "v:dev:k"}), "-1");
  EXPECT_TRUE(*cache_.expire("k", 0));
  EXPECT_EQ(cache_.cache_redis.cli({"TTL", "v:dev:k"}), "-1");
  EXPECT_TRUE(*cache_.expire("k", 0)) << "also without a TTL it exists";
  ASSERT_TRUE(*cache_.expire("k", 1));
  EXPECT_TRUE(eventually([&] { return !cache_.get("k")->has_value(); }));
  EXPECT_EQ(code_of(cache_.expire("k", kMaxTtlSeconds + 1)), "invalid_request");
  EXPECT_EQ(code_of(cache_.set("k", "1", kMaxTtlSeconds + 1)), "invalid_request");
}

TEST_F(EntriesTest, HashesMergeAndComeBackAsAnObject) {
  EXPECT_EQ(*cache_.hash_get_all("h"), std::nullopt);
  EXPECT_EQ(*cache_.hash_set("h", {{"a", "1"}}), 1u);
  EXPECT_EQ(*cache_.hash_set("h", {{"b", "{\"c\":null}"}, {"a", "2"}}), 2u);
  EXPECT_EQ((*cache_.hash_get_all("h")).value(), "{\"a\":2,\"b\":{\"c\":null}}");
  EXPECT_EQ(*cache_.hash_set("odd", {{"\"ü\"\n", "true"}, {"", "0"}}), 2u);
  const std::string odd = (*cache_.hash_get_all("odd")).value();
  EXPECT_NE(odd.find("\"\\\"ü\\\"\\n\":true"), std::string::npos) << odd;
  EXPECT_NE(odd.find("\"\":0"), std::string::npos) << odd;
  EXPECT_EQ(code_of(cache_.hash_set("h", {})), "invalid_request");
  EXPECT_EQ(code_of(cache_.hash_set("h", {{"a", "nope"}})), "invalid_json");
  EXPECT_EQ(code_of(cache_.hash_set("h", {{std::string(513, 'n'), "1"}})), "invalid_request");
}

TEST_F(EntriesTest, SetsCountWhatIsNewAlsoWithinOneCall) {
  EXPECT_EQ(*cache_.members("s"), std::nullopt);
  EXPECT_EQ(*cache_.change_set("SetAdd", "s", {"a", "b", "a"}), 2u);
  EXPECT_EQ(*cache_.change_set("SetAdd", "s", {"b", "c", ""}), 2u);
  EXPECT_EQ((*cache_.members("s")).value(), (Members{"", "a", "b", "c"}));
  EXPECT_EQ(*cache_.change_set("SetRemove", "s", {"a", "a", "zzz"}), 1u);
  EXPECT_EQ(*cache_.change_set("SetRemove", "none", {"a"}), 0u);
  EXPECT_EQ((*cache_.members("s")).value(), (Members{"", "b", "c"}));
  ASSERT_EQ(*cache_.change_set("SetRemove", "s", {"", "b", "c"}), 3u);
  EXPECT_EQ(*cache_.members("s"), std::nullopt);
  EXPECT_EQ(code_of(cache_.change_set("SetAdd", "s", {})), "invalid_request");
}

TEST_F(EntriesTest, ManyMembersAndFieldsGoInOneCall) {
  Members many;
  std::vector<std::pair<std::string, std::string>> fields;
  for (int i = 0; i < 10'000; ++i) {
    many.push_back("m" + std::to_string(i));
    fields.emplace_back("f" + std::to_string(i), std::to_string(i));
  }
  EXPECT_EQ(*cache_.change_set("SetAdd", "s", many), 10'000u);
  EXPECT_EQ(*cache_.hash_set("h", fields), 10'000u);
  EXPECT_EQ((*cache_.members("s"))->size(), 10'000u);
  EXPECT_EQ(cache_.cache_redis.cli({"HLEN", "v:dev:h"}), "10000");
  EXPECT_EQ(*cache_.change_set("SetRemove", "s", many), 10'000u);
  many.push_back("one more");
  EXPECT_EQ(code_of(cache_.change_set("SetAdd", "s", many)), "invalid_request");
}

TEST_F(EntriesTest, ACollectionIsBoundedAsAWhole) {
  const std::string value = '"' + std::string(900'000, 'x') + '"';
  int written = 0;
  Result<uint64_t> result = uint64_t{0};
  while (written < 30 && (result = cache_.hash_set("h", {{std::to_string(written), value}})).ok())
    ++written;
  EXPECT_EQ(code_of(result), "value_too_large");
  EXPECT_GE(written, 5);
  EXPECT_LE(written, 10);
}

TEST_F(EntriesTest, AnotherTypeIsWrongType) {
  ASSERT_TRUE(cache_.set("v", "1").ok());
  ASSERT_TRUE(cache_.hash_set("h", {{"a", "1"}}).ok());
  ASSERT_TRUE(cache_.change_set("SetAdd", "s", {"x"}).ok());
  EXPECT_EQ(code_of(cache_.get("h")), "wrong_type");
  EXPECT_EQ(code_of(cache_.get("s")), "wrong_type");
  EXPECT_EQ(code_of(cache_.hash_get_all("v")), "wrong_type");
  EXPECT_EQ(code_of(cache_.hash_set("s", {{"a", "1"}})), "wrong_type");
  EXPECT_EQ(code_of(cache_.change_set("SetAdd", "h", {"x"})), "wrong_type");
  EXPECT_EQ(code_of(cache_.change_set("SetRemove", "v", {"x"})), "wrong_type");
  EXPECT_EQ(code_of(cache_.members("v")), "wrong_type");
  // Setting a value replaces any type, as SET does.
  EXPECT_TRUE(*cache_.set("s", "2"));
  EXPECT_EQ((*cache_.get("s")).value(), "2");
}

TEST_F(EntriesTest, BadRequestsAreNamed) {
  EXPECT_EQ(code_of(cache_.set("k", "{bad")), "invalid_json");
  EXPECT_EQ(code_of(cache_.get("")), "invalid_request");
  EXPECT_EQ(code_of(cache_.get(std::string(513, 'k'))), "invalid_request");
  EXPECT_EQ(code_of(cache_.get("k", "")), "invalid_request");
  EXPECT_EQ(code_of(cache_.call<v1::ValueReply>("Nothing", v1::KeyRequest())), "unknown_method");
}

}  // namespace
}  // namespace raymesh::cache
