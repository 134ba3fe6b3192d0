// POST /api/v1/auth/...: signup, login and me, and the names of what comes later.
#include "libs/base/json_writer.hpp"
#include "raymesh/auth/v1/auth.pb.h"
#include "services/gateway/core.hpp"
#include "services/gateway/exchange.hpp"
#include "services/gateway/request_body.hpp"
#include "services/gateway/routes.hpp"

namespace raymesh::gateway {
namespace {

constexpr size_t kMaxToken = 8 << 10;

void on_signup(Exchange& ex, Result<std::string> result) {
  auth::v1::SignupReply reply;
  if (!ex.take(result, reply)) return;
  std::string out;
  json::Object o(out);
  o.boolean("success", true);
  o.string("userId", reply.user_id());
  o.boolean("verified", reply.verified());
  if (reply.verification_required()) {
    o.boolean("verification_required", true);
    o.string("message", "Check your email for a verification code");
  }
  o.end();
  ex.reply(200, out);
}

void signup(Exchange& ex) {
  Member members[] = {{"email"}, {"password"}, {"name"}, {"role"}};
  if (auto read = read_members(ex.body(), members); !read.ok()) return ex.fail(read.error());
  auto email = text_of(members[0]);
  auto password = text_of(members[1]);
  if (!email || email->empty() || !password || password->empty())
    return ex.fail(Error(errors::kInvalidRequest, "Email and password are required"));
  auth::v1::SignupRequest request;
  request.set_email(std::move(*email));
  request.set_password(std::move(*password));
  for (size_t i : {2, 3}) {
    if (members[i].is_missing_or_null()) continue;
    auto text = text_of(members[i]);
    if (!text)
      return ex.fail(
          Error(errors::kInvalidRequest, std::string(members[i].name) + " must be a string"));
    i == 2 ? request.set_name(std::move(*text)) : request.set_role(std::move(*text));
  }
  ex.call(*ex.core().peers.auth, "Signup", request.SerializeAsString(),
          ex.options(rpc::Repeat::kNever), on_signup);
}

void on_login(Exchange& ex, Result<std::string> result) {
  auth::v1::LoginReply reply;
  if (!ex.take(result, reply)) return;
  std::string out;
  json::Object o(out);
  o.boolean("success", true);
  o.string("userId", reply.user_id());
  json::Object tokens(o.key("tokens"));
  tokens.string("AccessToken", reply.access_token());
  tokens.integer("ExpiresIn", reply.expires_in());
  tokens.end();
  o.end();
  ex.reply(200, out);
}

void login(Exchange& ex) {
  Member members[] = {{"email"}, {"password"}};
  if (auto read = read_members(ex.body(), members); !read.ok()) return ex.fail(read.error());
  auto email = text_of(members[0]);
  auto password = text_of(members[1]);
  if (!email || email->empty() || !password || password->empty())
    return ex.fail(Error(errors::kInvalidRequest, "Email and password are required"));
  auth::v1::LoginRequest request;
  request.set_email(std::move(*email));
  request.set_password(std::move(*password));
  ex.call(*ex.core().peers.auth, "Login", request.SerializeAsString(),
          ex.options(rpc::Repeat::kNever), on_login);
}

void on_me(Exchange& ex, Result<std::string> result) {
  auth::v1::VerifyTokenReply reply;
  if (!ex.take(result, reply)) return;
  if (!reply.valid()) return ex.reply(200, R"({"user":null})");
  std::string out;
  json::Object o(out);
  json::Object user(o.key("user"));
  user.string("id", reply.user_id());
  user.string("email", reply.email());
  if (!reply.role().empty()) user.string("role", reply.role());
  if (!reply.claims_json().empty()) user.raw("claims", reply.claims_json());
  user.end();
  o.end();
  ex.reply(200, out);
}

// Always asks auth: a session that has been revoked is gone from the next answer on.
void me(Exchange& ex) {
  if (auto read = read_members(ex.body(), {}); !read.ok()) return ex.fail(read.error());
  const std::string_view token = ex.access_token();
  if (token.empty() || token.size() > kMaxToken) return ex.reply(200, R"({"user":null})");
  auth::v1::VerifyTokenRequest request;
  request.set_access_token(token.data(), token.size());
  const auto options = ex.options(
      rpc::Repeat::kSafe, std::min(ex.core().config.call_timeout,
                                   std::chrono::milliseconds(4'500)));  // the SDK waits for 5 s
  ex.call(*ex.core().peers.auth, "VerifyToken", request.SerializeAsString(), options, on_me);
}

void later(Exchange& ex) {
  ex.fail(Error(errors::kNotImplemented, "This auth endpoint does not exist yet"));
}

void unknown(Exchange& ex) {
  ex.fail(Error(errors::kUnknownAuthEndpoint, "Unknown auth endpoint"));
}

constexpr Route post(std::string_view name, std::string_view path, void (*handle)(Exchange&)) {
  return {.name = name, .method = "POST", .path = path, .handle = handle};
}

}  // namespace

std::span<const Route> auth_routes() {
  static const Route kRoutes[] = {
      post("auth_me", "/api/v1/auth/me", me),
      post("auth_login", "/api/v1/auth/login", login),
      post("auth_signup", "/api/v1/auth/signup", signup),
      post("auth_later", "/api/v1/auth/verify-email", later),
      post("auth_later", "/api/v1/auth/forgot-password", later),
      post("auth_later", "/api/v1/auth/reset-password", later),
      post("auth_later", "/api/v1/auth/mfa/challenge", later),
      post("auth_later", "/api/v1/auth/mfa/enroll", later),
      post("auth_later", "/api/v1/auth/mfa/enroll/confirm", later),
      post("auth_later", "/api/v1/auth/mfa/disable", later),
      post("auth_later", "/api/v1/auth/device/start", later),
      post("auth_later", "/api/v1/auth/device/token", later),
      {.name = "auth_unknown",
       .method = "*",
       .path = "/api/v1/auth/",
       .open = true,
       .handle = unknown},
  };
  return kRoutes;
}

}  // namespace raymesh::gateway
