#include "services/auth/password_hasher.hpp"

#include <gtest/gtest.h>
#include <caf/actor_system.hpp>

#include <future>
#include <mutex>

#include "libs/actor/system.hpp"
#include "services/auth/probe.hpp"

namespace raymesh::auth {
namespace {

constexpr crypto::Argon2Parameters kCheap{.memory_kib = 64, .passes = 1};

class PasswordHasherTest : public testing::Test {
 protected:
  std::string hash(PasswordHasher& hasher, const std::string& password) {
    std::promise<std::string> answer;
    hasher.hash(crypto::Secret(password),
                [&](Result<std::string> hash) { answer.set_value(hash.value()); });
    return answer.get_future().get();
  }
  PasswordHasher::Verdict verify(PasswordHasher& hasher, const std::string& stored,
                                 const std::string& password) {
    std::promise<PasswordHasher::Verdict> answer;
    hasher.verify(stored, crypto::Secret(password),
                  [&](Result<PasswordHasher::Verdict> v) { answer.set_value(v.value()); });
    return answer.get_future().get();
  }

  std::shared_ptr<metrics::Registry> registry_ = metrics::Registry::create();
  Probe probe_{*registry_};
  actor::System system_{2};
};

TEST_F(PasswordHasherTest, HashesAndVerifies) {
  PasswordHasher hasher(system_.get(), {.threads = 1, .max_queued = 4, .parameters = kCheap},
                        probe_);
  const std::string stored = hash(hasher, "correct horse");
  EXPECT_TRUE(verify(hasher, stored, "correct horse").matches);
  EXPECT_TRUE(verify(hasher, stored, "correct horse").new_hash.empty());
  EXPECT_FALSE(verify(hasher, stored, "wrong horse").matches);
}

TEST_F(PasswordHasherTest, NobodyNeverMatchesButIsHashed) {
  PasswordHasher hasher(system_.get(), {.threads = 1, .max_queued = 4, .parameters = kCheap},
                        probe_);
  EXPECT_FALSE(verify(hasher, "", "anything").matches);
  EXPECT_FALSE(verify(hasher, "", "").matches);
  EXPECT_NE(registry_->render().find("raymesh_auth_hash_seconds_count 2"), std::string::npos);
}

TEST_F(PasswordHasherTest, HashesAnewWhatHasOldParameters) {
  PasswordHasher hasher(system_.get(), {.threads = 1, .max_queued = 4, .parameters = kCheap},
                        probe_);
  const std::string old =
      crypto::hash_password("pass word", {.memory_kib = 32, .passes = 1}).value();
  auto verdict = verify(hasher, old, "pass word");
  EXPECT_TRUE(verdict.matches);
  EXPECT_TRUE(verify(hasher, verdict.new_hash, "pass word").matches);
  EXPECT_TRUE(verify(hasher, old, "other").new_hash.empty());
}

TEST_F(PasswordHasherTest, AFullQueueSaysSoAtOnce) {
  PasswordHasher hasher(system_.get(), {.threads = 1, .max_queued = 2, .parameters = kCheap},
                        probe_);
  // The first hash is held up in its completion until the others have been refused.
  std::promise<void> held;
  std::promise<void> release;
  hasher.hash(crypto::Secret("first one"), [&](const Result<std::string>&) {
    held.set_value();
    release.get_future().wait();
  });
  held.get_future().wait();
  std::vector<std::promise<Result<std::string>>> answers(4);
  for (auto& answer : answers)
    hasher.hash(crypto::Secret("and another"),
                [&](Result<std::string> hash) { answer.set_value(std::move(hash)); });
  for (size_t i : {2, 3}) {
    auto refused = answers[i].get_future().get();
    ASSERT_FALSE(refused.ok());
    EXPECT_TRUE(refused.error().is(errors::kHashingBusy));
    EXPECT_GT(refused.error().retry_after.count(), 0);
  }
  release.set_value();
  EXPECT_TRUE(answers[0].get_future().get().ok());
  EXPECT_TRUE(answers[1].get_future().get().ok());
}

}  // namespace
}  // namespace raymesh::auth
