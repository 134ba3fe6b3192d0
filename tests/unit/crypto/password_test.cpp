#include "libs/crypto/password.hpp"

#include <gtest/gtest.h>

namespace raymesh::crypto {
namespace {

// A cheap setting, where the parameters are not what is tested.
constexpr Argon2Parameters kCheap{.memory_kib = 64, .passes = 1};

TEST(PasswordTest, DefaultsAreOwasps) {
  auto hash = hash_password("correct horse").value();
  EXPECT_TRUE(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$")) << hash;
  EXPECT_TRUE(verify_password(hash, "correct horse").value());
  EXPECT_FALSE(verify_password(hash, "correct horsf").value());
}

// Computed by the reference implementation's program (https://github.com/P-H-C/phc-winner-argon2),
// whose own tests hold the RFC 9106 vectors; the last line is one of the vectors of its test suite.
// Those of the RFC itself use a secret and associated data, which PHC strings do not have.
TEST(PasswordTest, VerifiesTheReferenceImplementationsHashes) {
  for (const char* phc : {"$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA"
                          "$K13EBUiG7JV+9ZxztmHFTdb7J0WQsnj2V8bZaqyPptE",
                          "$argon2id$v=19$m=4096,t=3,p=1$c29tZXNhbHRzb21lc2FsdA"
                          "$BvuA7SfebsIC3f4gSy7/Ei1s6+hsEfaOuCZMbl/y/Sg",
                          "$argon2id$v=19$m=256,t=1,p=4$c29tZXNhbHRzb21lc2FsdA"
                          "$VEOyElCPCf5Sr7JnD7bxUGPhAZN9gebVQqz5KGJzHmY",
                          "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ"
                          "$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4"}) {
    EXPECT_TRUE(verify_password(phc, "password").value()) << phc;
    EXPECT_FALSE(verify_password(phc, "Password").value()) << phc;
  }
}

TEST(PasswordTest, SaltsEveryHash) {
  EXPECT_NE(hash_password("same", kCheap).value(), hash_password("same", kCheap).value());
}

TEST(PasswordTest, TakesEveryByte) {
  const std::string password("\0\xff\n$", 4);
  auto hash = hash_password(password, kCheap).value();
  EXPECT_TRUE(verify_password(hash, password).value());
  EXPECT_FALSE(verify_password(hash, std::string_view(password).substr(0, 1)).value());
  EXPECT_FALSE(verify_password(hash, "").value());
}

TEST(PasswordTest, RefusesPasswordsThatAreTooLong) {
  const std::string longest(kMaxPasswordBytes, 'x');
  auto hash = hash_password(longest, kCheap).value();
  EXPECT_TRUE(verify_password(hash, longest).value());
  EXPECT_TRUE(hash_password(longest + 'x', kCheap).error().is(errors::kWeakPassword));
  EXPECT_FALSE(verify_password(hash, longest + 'x').value());
}

class MalformedPhcTest : public testing::TestWithParam<const char*> {};

TEST_P(MalformedPhcTest, IsRefusedBeforeAnyWork) {
  auto result = verify_password(GetParam(), "password");
  ASSERT_FALSE(result.ok());
  EXPECT_TRUE(result.error().is(errors::kInternal));
}

INSTANTIATE_TEST_SUITE_P(
    Edges, MalformedPhcTest,
    testing::Values(
        "", "$", "password", "$argon2id$", "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$",
        "$argon2id$v=19$m=256,t=2,p=1$$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
        // other algorithms and versions
        "$argon2i$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
        "$argon2id$v=16$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
        "$argon2id$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
        // parameters above the bounds, zero, signed, with zeros in front, out of range
        "$argon2id$v=19$m=65537,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
        "$argon2id$v=19$m=4294967295,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/"
        "4",
        "$argon2id$v=19$m=99999999999,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/"
        "uIPnA4rEsF5h7TKyQwu9U1bMCHGi/"
        "4",
        "$argon2id$v=19$m=256,t=9,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
        "$argon2id$v=19$m=256,t=0,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
        "$argon2id$v=19$m=256,t=2,p=5$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
        "$argon2id$v=19$m=-256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
        "$argon2id$v=19$m=0256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
        "$argon2id$v=19$m=,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
        // trailing bytes, padding, foreign characters
        "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4=",
        "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4$",
        "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhb_Q$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4"));

TEST(PasswordTest, KnowsWhatToHashAnew) {
  auto hash = hash_password("x", kCheap).value();
  EXPECT_FALSE(needs_rehash(hash, kCheap));
  EXPECT_TRUE(needs_rehash(hash));
  EXPECT_TRUE(needs_rehash("garbage", kCheap));
}

}  // namespace
}  // namespace raymesh::crypto
