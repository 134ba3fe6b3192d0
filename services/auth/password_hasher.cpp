#include "services/auth/password_hasher.hpp"

#include <memory>

#include "libs/crypto/random.hpp"
#include "services/auth/probe.hpp"

namespace raymesh::auth {
namespace {

// Where a full queue is, a whole queue has to be hashed before there is much room again.
constexpr std::chrono::milliseconds kRetryAfter{1'000};

std::string hash_of_nobody(const crypto::Argon2Parameters& parameters) {
  auto hash = crypto::hash_password(crypto::random_token(), parameters);
  // Without memory for one hash the service cannot work: every login would fail as well.
  return hash.ok() ? *std::move(hash) : std::string();
}

}  // namespace

PasswordHasher::PasswordHasher(caf::actor_system& actors, const HasherConfig& config, Probe& probe)
    : parameters_(config.parameters),
      nobodys_hash_(hash_of_nobody(config.parameters)),
      probe_(probe),
      pool_(actors, "auth-hashing", config.threads, config.max_queued) {}

template <class T, class Work>
void PasswordHasher::submit(UniqueFunction<void(Result<T>)> done, Work work) {
  // Shared, so that a refused submit can still answer.
  auto answer = std::make_shared<UniqueFunction<void(Result<T>)>>(std::move(done));
  Status accepted = pool_.submit([this, answer, work = std::move(work)]() mutable {
    const auto start = std::chrono::steady_clock::now();
    Result<T> result = work();
    probe_.hashed(std::chrono::steady_clock::now() - start);
    (*answer)(std::move(result));
  });
  if (accepted.ok()) return;
  probe_.hashing_refused();
  if (!accepted.error().is(errors::kOverloaded)) return (*answer)(std::move(accepted).error());
  (*answer)(
      Error(errors::kHashingBusy, "Too many sign-ins at once; try again in a moment", kRetryAfter));
}

void PasswordHasher::hash(crypto::Secret password, UniqueFunction<void(Result<std::string>)> done) {
  submit<std::string>(std::move(done), [this, password = std::move(password)] {
    return crypto::hash_password(password.view(), parameters_);
  });
}

void PasswordHasher::verify(std::string stored, crypto::Secret password,
                            UniqueFunction<void(Result<Verdict>)> done) {
  submit<Verdict>(std::move(done),
                  [this, stored = std::move(stored), password = std::move(password)] {
                    return verify_now(stored, password.view());
                  });
}

Result<PasswordHasher::Verdict> PasswordHasher::verify_now(const std::string& stored,
                                                           std::string_view password) const {
  const bool exists = !stored.empty();
  RAYMESH_TRY(bool matches, crypto::verify_password(exists ? stored : nobodys_hash_, password));
  Verdict verdict{exists && matches, {}};
  if (verdict.matches && crypto::needs_rehash(stored, parameters_)) {
    RAYMESH_TRY(verdict.new_hash, crypto::hash_password(password, parameters_));
  }
  return verdict;
}

}  // namespace raymesh::auth
