// Argon2id on threads of its own: a hash takes tens of milliseconds and 19 MiB, so the number of
// threads bounds memory, and the length of the queue bounds the wait. Owned by the app; any thread
// may call, completions run on a hashing thread.
#pragma once

#include <chrono>
#include <cstddef>
#include <string>

#include "libs/actor/blocking_pool.hpp"
#include "libs/base/result.hpp"
#include "libs/base/unique_function.hpp"
#include "libs/crypto/password.hpp"
#include "libs/crypto/secret.hpp"

namespace raymesh::auth {

class Probe;

struct HasherConfig {
  size_t threads = 2;
  size_t max_queued = 64;
  crypto::Argon2Parameters parameters;
};

class PasswordHasher {
 public:
  /// Computes one hash, for users that do not exist.
  PasswordHasher(caf::actor_system& actors, const HasherConfig& config, Probe& probe);

  /// `done` gets the hash, or hashing_busy with a time to wait.
  void hash(crypto::Secret password, UniqueFunction<void(Result<std::string>)> done);

  struct Verdict {
    bool matches = false;
    std::string new_hash;  // not empty: the stored one has old parameters, store this one
  };
  /// An empty `stored` (there is no such user) costs the same and never matches.
  void verify(std::string stored, crypto::Secret password,
              UniqueFunction<void(Result<Verdict>)> done);

  void stop(std::chrono::milliseconds grace) { pool_.stop(grace); }
  size_t queued() const { return pool_.queued(); }

 private:
  Result<Verdict> verify_now(const std::string& stored, std::string_view password) const;
  template <class T, class Work>
  void submit(UniqueFunction<void(Result<T>)> done, Work work);

  const crypto::Argon2Parameters parameters_;
  const std::string nobodys_hash_;
  Probe& probe_;
  actor::BlockingPool pool_;
};

}  // namespace raymesh::auth
