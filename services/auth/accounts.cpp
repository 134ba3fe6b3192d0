#include "services/auth/accounts.hpp"

#include <utility>

#include "libs/crypto/hash.hpp"
#include "libs/crypto/random.hpp"
#include "libs/telemetry/log.hpp"
#include "services/auth/access_token.hpp"
#include "services/auth/account_rules.hpp"
#include "services/auth/auth_root_actor.hpp"
#include "services/auth/database.hpp"
#include "services/auth/password_hasher.hpp"
#include "services/auth/probe.hpp"

namespace raymesh::auth {
namespace {

Error credentials_missing() {
  return {errors::kInvalidRequest, "Email and password are required"};
}

Error throttled(std::chrono::milliseconds wait) {
  return {errors::kRateLimited, "Too many failed attempts; try again later", wait};
}

// White space alone is no address, as for the SDK's own server.
bool is_blank(std::string_view text) {
  return text.find_first_not_of(" \t\r\n\f\v") == std::string_view::npos;
}

// NUL stands in none of the parts, so no two pairs give one key.
std::string throttle_key(std::string_view project, std::string_view who) {
  if (who.empty()) return {};
  std::string key(project);
  key += '\0';
  key += who;
  return key;
}

}  // namespace

struct Accounts::Signup {
  SignupInput input;
  std::string email;  // clean
  std::string password_hash;
  LoginThrottle::Attempt attempt;
  Done<SignupOutcome> done;
  Probe& probe;

  void finish(Result<SignupOutcome> result) {
    probe.signed_up(result.ok() ? ok_status() : Status(result.error()));
    done(std::move(result));
  }
};

struct Accounts::Login {
  LoginInput input;
  LoginThrottle::Attempt attempt;
  Done<LoginOutcome> done;
  Probe& probe;

  void finish(Result<LoginOutcome> result) {
    probe.logged_in(result.ok() ? ok_status() : Status(result.error()));
    done(std::move(result));
  }
};

void Accounts::resolve_key(std::string key_sha256, Done<ResolvedKey> done) {
  auto finish = [this, done = std::move(done)](Result<ResolvedKey> result) mutable {
    d_.probe.key_resolved(result.ok() ? ok_status() : Status(result.error()));
    done(std::move(result));
  };
  if (key_sha256.size() != crypto::kSha256Bytes)
    return finish(Error(errors::kInvalidRequest, "key_sha256 must have 32 bytes"));
  d_.database.run<std::optional<ResolvedKey>>(
      [hash = std::move(key_sha256)](pg::Session& session) { return find_key(session, hash); },
      [finish = std::move(finish)](Result<std::optional<ResolvedKey>> found) mutable {
        if (!found.ok()) return finish(std::move(found).error());
        if (!*found) return finish(Error(errors::kInvalidApiKey, "Invalid API key"));
        finish(**std::move(found));
      });
}

// Signup: throttle, role, hash, store. The hash comes before the address is looked at, so that an
// address that has an account already takes as long as a new one.
void Accounts::signup(SignupInput input, Done<SignupOutcome> done) {
  auto flow =
      std::make_shared<Signup>(Signup{std::move(input), {}, {}, {}, std::move(done), d_.probe});
  const SignupInput& in = flow->input;
  if (is_blank(in.email) || in.password.empty()) return flow->finish(credentials_missing());
  auto email = clean_email(in.email);
  if (!email.ok()) return flow->finish(std::move(email).error());
  flow->email = *std::move(email);
  Status password = check_new_password(in.password.view());
  if (!password.ok()) return flow->finish(std::move(password).error());
  if (!is_display_name(in.name))
    return flow->finish(Error(errors::kInvalidRequest, "The name is too long or not plain text"));
  if (!in.role.empty() && !is_role_name(in.role))
    return flow->finish(Error(errors::kRoleNotAllowed, "This role cannot be chosen at signup"));

  flow->attempt.address = throttle_key(in.project, in.client_address);
  begin_login(d_.root, flow->attempt, [this, flow](std::chrono::milliseconds wait) {
    if (wait.count() > 0) return flow->finish(throttled(wait));
    if (flow->input.role.empty()) return hash_password(flow);
    check_role(flow);
  });
}

void Accounts::check_role(std::shared_ptr<Signup> flow) {
  d_.database.run<bool>(
      [flow](pg::Session& session) {
        return is_signup_role(session, flow->input.project, flow->input.role);
      },
      [this, flow](Result<bool> allowed) {
        if (allowed.ok() && *allowed) return hash_password(flow);
        end_login(d_.root, flow->attempt, LoginEnd::kCancelled);
        if (!allowed.ok()) return flow->finish(std::move(allowed).error());
        flow->finish(Error(errors::kRoleNotAllowed,
                           "The role " + flow->input.role + " cannot be chosen at signup"));
      });
}

void Accounts::hash_password(std::shared_ptr<Signup> flow) {
  d_.hasher.hash(std::move(flow->input.password), [this, flow](Result<std::string> hash) {
    if (!hash.ok()) {
      end_login(d_.root, flow->attempt, LoginEnd::kCancelled);
      return flow->finish(std::move(hash).error());
    }
    flow->password_hash = *std::move(hash);
    store_user(flow);
  });
}

void Accounts::store_user(std::shared_ptr<Signup> flow) {
  NewUser user{crypto::random_uuid(),       flow->input.project, flow->email,
               std::move(flow->input.name), flow->input.role,    std::move(flow->password_hash)};
  const std::string id = user.id;
  d_.database.run<Unit>(
      [user = std::move(user)](pg::Session& session) { return insert_user(session, user); },
      [this, flow, id](Status stored) {
        // EmailExists stays counted against the client: it tells who has an account.
        if (stored.ok() || !stored.error().is(errors::kEmailExists))
          end_login(d_.root, flow->attempt, LoginEnd::kCancelled);
        if (!stored.ok()) return flow->finish(std::move(stored).error());
        log::info("user signed up", {{"project", flow->input.project}, {"user", id}});
        flow->finish(SignupOutcome{id, true});
      });
}

// Login: throttle, find, check the password, open a session.
void Accounts::login(LoginInput input, Done<LoginOutcome> done) {
  auto flow = std::make_shared<Login>(Login{std::move(input), {}, std::move(done), d_.probe});
  LoginInput& in = flow->input;
  if (is_blank(in.email) || in.password.empty()) return flow->finish(credentials_missing());
  // What cannot be an address is nobody's, and goes the same way as an unknown one.
  auto email = clean_email(in.email);
  in.email = email.ok() ? *std::move(email) : std::string();
  flow->attempt = {throttle_key(in.project, email_key(in.email)),
                   throttle_key(in.project, in.client_address)};
  begin_login(d_.root, flow->attempt, [this, flow](std::chrono::milliseconds wait) {
    if (wait.count() > 0) return flow->finish(throttled(wait));
    find_user(flow);
  });
}

void Accounts::find_user(std::shared_ptr<Login> flow) {
  d_.database.run<std::optional<User>>(
      [flow](pg::Session& session) {
        return find_user_by_email(session, flow->input.project, flow->input.email);
      },
      [this, flow](Result<std::optional<User>> found) {
        if (found.ok()) return check_password(flow, *std::move(found));
        end_login(d_.root, flow->attempt, LoginEnd::kCancelled);
        flow->finish(std::move(found).error());
      });
}

void Accounts::check_password(std::shared_ptr<Login> flow, std::optional<User> user) {
  std::string stored = user ? std::exchange(user->password_hash, {}) : std::string();
  d_.hasher.verify(
      std::move(stored), std::move(flow->input.password),
      [this, flow, user = std::move(user)](Result<PasswordHasher::Verdict> verdict) mutable {
        if (!verdict.ok()) {
          end_login(d_.root, flow->attempt, LoginEnd::kCancelled);
          return flow->finish(std::move(verdict).error());
        }
        if (!verdict->matches || !user)
          return flow->finish(Error(errors::kInvalidCredentials, "Invalid email or password"));
        end_login(d_.root, flow->attempt, LoginEnd::kSucceeded);
        open_session(flow, *user, std::move(verdict->new_hash));
      });
}

// The session's row comes before its token: a token that was seen by anybody can be revoked.
void Accounts::open_session(std::shared_ptr<Login> flow, const User& user, std::string new_hash) {
  AccessToken token;
  token.project = flow->input.project;
  token.user = user.id;
  token.session = crypto::random_uuid();
  token.email = user.email;
  token.role = user.role;
  token.claims_json = user.claims_json;
  token.issued_at = d_.unix_now();
  token.expires_at = token.issued_at + d_.token_life.count();
  NewSession row{token.session, token.project, token.user, token.expires_at, std::move(new_hash)};
  d_.database.run<Unit>(
      [row = std::move(row)](pg::Session& session) { return insert_session(session, row); },
      [this, flow, token = std::move(token)](Status stored) {
        if (!stored.ok()) return flow->finish(std::move(stored).error());
        auto text = sign_access_token(d_.keys, token);
        if (!text.ok()) {
          log::error("no token could be made",
                     {{"project", token.project}, {"error", text.error().message}});
          return flow->finish(std::move(text).error());
        }
        flow->finish(LoginOutcome{token.user, *std::move(text), d_.token_life});
      });
}

void Accounts::verify(const std::string& project, std::string_view token,
                      Done<std::optional<VerifiedToken>> done) {
  auto proven = verify_access_token(d_.keys, project, token, d_.unix_now());
  if (!proven.ok()) {
    d_.probe.token_checked(false);
    return done(std::optional<VerifiedToken>());
  }
  auto claims = std::make_shared<ProvenToken>(*std::move(proven));
  d_.database.run<std::optional<User>>(
      [project, claims](pg::Session& session) {
        return find_session_user(session, project, claims->session, claims->user);
      },
      [this, claims, done = std::move(done)](Result<std::optional<User>> user) mutable {
        if (!user.ok()) {
          d_.probe.token_check_failed();
          return done(std::move(user).error());
        }
        d_.probe.token_checked(user->has_value());
        if (!*user) return done(std::optional<VerifiedToken>());
        done(std::optional<VerifiedToken>(
            {**std::move(user), std::move(claims->session), claims->expires_at}));
      });
}

}  // namespace raymesh::auth
