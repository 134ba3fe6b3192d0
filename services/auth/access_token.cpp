#include "services/auth/access_token.hpp"

#include "libs/base/json_writer.hpp"
#include "libs/crypto/jwt.hpp"

namespace raymesh::auth {

namespace {

// No other kind of token has an audience like this, whatever a project is called.
std::string audience_of(std::string_view project) {
  return "raymesh-user:" + std::string(project);
}

// As we write UUIDs: what goes into a statement as one must be one.
bool is_uuid(std::string_view text) {
  if (text.size() != 36) return false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const bool dash = i == 8 || i == 13 || i == 18 || i == 23;
    if (dash ? c != '-' : !((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'))) return false;
  }
  return true;
}

}  // namespace

Result<std::string> sign_access_token(const crypto::KeyRing& keys, const AccessToken& token) {
  std::string claims;
  json::Object o(claims);
  o.string("sub", token.user);
  o.string("email", token.email);
  if (!token.role.empty()) o.string("role", token.role);
  if (!token.claims_json.empty()) o.raw("claims", token.claims_json);
  o.string("aud", audience_of(token.project));
  o.string("jti", token.session);
  o.integer("iat", token.issued_at);
  o.integer("exp", token.expires_at);
  o.end();
  std::string text = crypto::jwt::sign(keys, claims);
  if (text.size() > kMaxAccessTokenBytes)
    return Error(errors::kInternal, "the claims of user " + token.user +
                                        " make the access token longer than 4096 bytes");
  return text;
}

Result<ProvenToken> verify_access_token(const crypto::KeyRing& keys, std::string_view project,
                                        std::string_view token, int64_t now) {
  const std::string audience = audience_of(project);
  // Two nodes' clocks may be a little apart, so a token may seem to come from the future. Expiry
  // gets no such grace: see below.
  crypto::jwt::Checks checks;
  checks.now = now;
  checks.leeway = 5;
  checks.audience = audience;
  checks.max_bytes = kMaxAccessTokenBytes;
  RAYMESH_TRY(auto proven, crypto::jwt::verify(keys, token, checks));
  if (!is_uuid(proven.subject) || !is_uuid(proven.id))
    return Error(errors::kInvalidToken, "the token has no user or no session");
  if (now >= proven.expires_at) return Error(errors::kTokenExpired, "the token has expired");
  return ProvenToken{std::move(proven.subject), std::move(proven.id), proven.expires_at};
}

}  // namespace raymesh::auth
