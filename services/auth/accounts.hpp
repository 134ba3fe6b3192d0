// What the auth service does: resolve keys, sign up, log in, check tokens. Each is a short chain of
// steps on other threads (throttle, database, hashing), written as continuations; nothing blocks
// here. Owned by the app; any thread may call, `done` runs once on any of those threads.
#pragma once

#include <caf/actor.hpp>
#include <chrono>
#include <functional>
#include <optional>
#include <string>

#include "libs/base/result.hpp"
#include "libs/base/unique_function.hpp"
#include "libs/crypto/key_ring.hpp"
#include "libs/crypto/secret.hpp"
#include "services/auth/user_store.hpp"

namespace raymesh::auth {

class Database;
class PasswordHasher;
class Probe;

struct SignupInput {
  std::string project;
  std::string client_address;
  std::string email;
  crypto::Secret password;
  std::string name;
  std::string role;
};
struct SignupOutcome {
  std::string user_id;
  bool verified = false;
};

struct LoginInput {
  std::string project;
  std::string client_address;
  std::string email;
  crypto::Secret password;
};
struct LoginOutcome {
  std::string user_id;
  std::string access_token;
  std::chrono::seconds expires_in{0};
};

struct VerifiedToken {
  User user;
  std::string session;
  int64_t expires_at = 0;  // Unix seconds
};

class Accounts {
 public:
  template <class T>
  using Done = UniqueFunction<void(Result<T>)>;

  struct Dependencies {
    Database& database;
    PasswordHasher& hasher;
    Probe& probe;
    caf::actor root;  // auth_root_actor.hpp
    const crypto::KeyRing& keys;
    std::chrono::seconds token_life;
    std::function<int64_t()> unix_now;
  };

  explicit Accounts(Dependencies dependencies) : d_(std::move(dependencies)) {}

  /// Errors: invalid_api_key.
  void resolve_key(std::string key_sha256, Done<ResolvedKey> done);

  /// Errors: invalid_request (nothing given, bad name), invalid_email, weak_password,
  /// role_not_allowed, EmailExists, rate_limited, hashing_busy.
  void signup(SignupInput input, Done<SignupOutcome> done);

  /// Errors: invalid_request (nothing given), InvalidCredentials, rate_limited, hashing_busy. An
  /// unknown address costs and answers exactly what a wrong password does.
  void login(LoginInput input, Done<LoginOutcome> done);

  /// nullopt for everything that does not prove a live session of the project.
  void verify(const std::string& project, std::string_view token,
              Done<std::optional<VerifiedToken>> done);

 private:
  struct Signup;
  struct Login;

  void check_role(std::shared_ptr<Signup> flow);
  void hash_password(std::shared_ptr<Signup> flow);
  void store_user(std::shared_ptr<Signup> flow);
  void find_user(std::shared_ptr<Login> flow);
  void check_password(std::shared_ptr<Login> flow, std::optional<User> user);
  void open_session(std::shared_ptr<Login> flow, const User& user, std::string new_hash);

  Dependencies d_;
};

}  // namespace raymesh::auth
