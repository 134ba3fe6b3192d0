#include "libs/raystream/state_keys.hpp"

#include <gtest/gtest.h>

namespace raymesh::raystream {
namespace {

StateKeys keys(std::vector<std::string> pairs) {
  return StateKeys::parse(pairs).value();
}

TEST(StateKeysTest, TheFirstSealsAndAllOpen) {
  const std::string old = StateKeys::generate("old"), fresh = StateKeys::generate("new");
  const StateKeys before = keys({old}), between = keys({old, fresh}), after = keys({fresh, old}),
                  gone = keys({fresh});
  const std::string sealed = before.seal("aad", "text");
  EXPECT_EQ(before.open("aad", sealed)->view(), "text");
  EXPECT_EQ(between.open("aad", sealed)->view(), "text");
  EXPECT_EQ(after.open("aad", sealed)->view(), "text");
  EXPECT_FALSE(gone.open("aad", sealed));
  const std::string again = after.seal("aad", "text");
  EXPECT_EQ(gone.open("aad", again)->view(), "text");
  EXPECT_FALSE(before.open("aad", again));
  EXPECT_FALSE(before.open("other", sealed));
  EXPECT_EQ(after.ids(), (std::vector<std::string>{"new", "old"}));
}

TEST(StateKeysTest, AKeyIsNotTakenForAnotherOfItsName) {
  const StateKeys mine = keys({StateKeys::generate("k")}), other = keys({StateKeys::generate("k")});
  EXPECT_FALSE(other.open("", mine.seal("", "text")));
}

TEST(StateKeysTest, EveryChangedByteIsNoticed) {
  const StateKeys all = keys({StateKeys::generate("k1"), StateKeys::generate("k2")});
  const std::string sealed = all.seal("aad", "some text");
  for (size_t i = 0; i < sealed.size(); ++i) {
    std::string changed = sealed;
    changed[i] ^= 3;  // also k1 into k2
    EXPECT_FALSE(all.open("aad", changed)) << i;
    EXPECT_FALSE(all.open("aad", std::string_view(sealed).substr(0, i))) << i;
  }
}

TEST(StateKeysTest, RefusesWhatIsNoKeyAndDoesNotPrintIt) {
  const std::string good = StateKeys::generate("k");
  const std::string bytes = good.substr(2);
  for (const std::vector<std::string>& pairs :
       std::vector<std::vector<std::string>>{{},
                                             {bytes},
                                             {":" + bytes},
                                             {"a b:" + bytes},
                                             {"k:" + bytes.substr(1)},
                                             {"k:" + bytes + "AA"},
                                             {good, good},
                                             std::vector<std::string>(17, good)}) {
    const auto parsed = StateKeys::parse(pairs);
    ASSERT_FALSE(parsed.ok());
    EXPECT_EQ(parsed.error().message.find(bytes), std::string::npos);
  }
}

}  // namespace
}  // namespace raymesh::raystream
