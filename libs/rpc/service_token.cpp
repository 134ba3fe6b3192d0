#include "libs/rpc/service_token.hpp"

#include "libs/base/json_writer.hpp"
#include "libs/crypto/jwt.hpp"
#include "libs/crypto/random.hpp"

namespace raymesh::rpc {
namespace {

constexpr std::string_view kPrefix = "rst_";
constexpr std::string_view kAudience = "raymesh-service";
constexpr int64_t kLeewaySeconds = 5;

}  // namespace

Result<std::string> sign_service_token(const crypto::KeyRing& keys, std::string_view project,
                                       std::chrono::seconds life) {
  if (project.empty()) return Error(errors::kInvalidValue, "a service token needs a project");
  if (life.count() < 1) return Error(errors::kInvalidValue, "a service token must live for 1 s");
  const int64_t now = crypto::jwt::unix_now();
  std::string claims;
  json::Object object(claims);
  object.string("aud", kAudience);
  object.string("sub", project);
  object.string("jti", crypto::random_token(12));
  object.integer("iat", now);
  object.integer("exp", now + life.count());
  object.end();
  return std::string(kPrefix) + crypto::jwt::sign(keys, claims);
}

Result<ServiceToken> verify_service_token(const crypto::KeyRing& keys, std::string_view token,
                                          int64_t unix_now) {
  if (!token.starts_with(kPrefix))
    return Error(errors::kUnauthenticated, "the bearer token is not a service token (rst_...)");
  token.remove_prefix(kPrefix.size());
  auto verified = crypto::jwt::verify(
      keys, token, {.now = unix_now, .leeway = kLeewaySeconds, .audience = kAudience});
  if (!verified.ok())
    return Error(errors::kUnauthenticated, "service token: " + verified.error().message);
  if (verified->subject.empty())
    return Error(errors::kUnauthenticated, "service token: it names no project");
  return ServiceToken{std::move(verified->id), std::move(verified->subject)};
}

}  // namespace raymesh::rpc
