#include "services/gateway/raystream_state.hpp"

#include <gtest/gtest.h>

#include "libs/crypto/random.hpp"

namespace raymesh::gateway {
namespace {

constexpr char kId[] = "018f0000-0000-7000-8000-000000000000";

raystream::StateKeys keys() {
  static const std::vector<std::string> kPairs = {raystream::StateKeys::generate("k")};
  return raystream::StateKeys::parse(kPairs).value();
}

StoredSession session() {
  StoredSession s;
  s.principal = {crypto::random_bytes(32), "dev", "a.b.c", 1'800'000'000'000};
  s.first_handshake_at = 1'700'000'000'000;
  s.expires_at = 1'700'000'300'000;
  s.subscriptions = {{2, "room"}, {1, "users"}};
  return s;
}

TEST(RaystreamStateTest, ComesBackAsItWas) {
  const std::string current = crypto::random_bytes(32), previous = crypto::random_bytes(32);
  for (const bool has_previous : {false, true}) {
    const StoredSession before = session();
    const std::string sealed =
        seal_state(keys(), {kId, 3, 7}, current, has_previous ? previous : "", before);
    const auto opened = open_state(keys(), {kId, 3, 7}, sealed);
    ASSERT_TRUE(opened);
    EXPECT_EQ(opened->secrets->current.view(), current);
    EXPECT_EQ(opened->secrets->has_previous, has_previous);
    EXPECT_EQ(opened->secrets->previous.view(), has_previous ? previous : std::string(32, '\0'));
    const StoredSession& after = opened->session;
    EXPECT_EQ(after.principal.key_hash, before.principal.key_hash);
    EXPECT_EQ(after.principal.project, before.principal.project);
    EXPECT_EQ(after.principal.access_token, before.principal.access_token);
    EXPECT_EQ(after.principal.token_expires_at, before.principal.token_expires_at);
    EXPECT_EQ(after.first_handshake_at, before.first_handshake_at);
    EXPECT_EQ(after.expires_at, before.expires_at);
    EXPECT_EQ(after.subscriptions, before.subscriptions);
  }
}

TEST(RaystreamStateTest, IsTheStateOfOneSessionInOneGenerationAndVersion) {
  const std::string sealed =
      seal_state(keys(), {kId, 3, 7}, crypto::random_bytes(32), {}, session());
  EXPECT_FALSE(open_state(keys(), {"018f0000-0000-7000-8000-000000000001", 3, 7}, sealed));
  EXPECT_FALSE(open_state(keys(), {kId, 4, 7}, sealed));
  EXPECT_FALSE(open_state(keys(), {kId, 2, 7}, sealed));
  EXPECT_FALSE(open_state(keys(), {kId, 3, 8}, sealed));
  EXPECT_FALSE(open_state(keys(), {kId, 7, 3}, sealed));
  const std::vector<std::string> others = {raystream::StateKeys::generate("k")};
  EXPECT_FALSE(open_state(raystream::StateKeys::parse(others).value(), {kId, 3, 7}, sealed));
}

// Sealed by a key of ours, but no state: of another version of the form.
TEST(RaystreamStateTest, AnotherFormIsNotOpened) {
  const StoredSession s = session();
  const std::string sealed = seal_state(keys(), {kId, 1, 1}, crypto::random_bytes(32), {}, s);
  ASSERT_TRUE(open_state(keys(), {kId, 1, 1}, sealed));
  std::string aad = "raymesh raystream state ";
  aad += kId;
  for (int number : {1, 1}) aad += std::string(7, '\0') + static_cast<char>(number);
  const auto text = keys().open(aad, sealed);
  ASSERT_TRUE(text);
  std::string other(text->view());
  other[0] = 2;
  EXPECT_FALSE(open_state(keys(), {kId, 1, 1}, keys().seal(aad, other)));
  for (const size_t size : {size_t{0}, size_t{1}, size_t{65}})
    EXPECT_FALSE(open_state(keys(), {kId, 1, 1}, keys().seal(aad, text->view().substr(0, size))));
  EXPECT_FALSE(
      open_state(keys(), {kId, 1, 1}, keys().seal(aad, std::string(text->view()) + "\xff")));
}

}  // namespace
}  // namespace raymesh::gateway
