#include "libs/crypto/jwt.hpp"

#include <simdjson.h>

#include <algorithm>
#include <chrono>
#include <optional>

#include "libs/base/encoding.hpp"

namespace raymesh::crypto::jwt {
namespace {

using simdjson::dom::element;
using simdjson::dom::object;

// 32 bytes in base64url.
constexpr size_t kSignatureCharacters = 43;
// 9999-12-31: later times are mistakes, and bounding them keeps the arithmetic below from overflow.
constexpr int64_t kLatestTime = 253'402'300'799;

Error refused(const char* why) {
  return {errors::kInvalidToken, why};
}

const SigningKey* key_of(const KeyRing& ring, std::string_view token) {
  auto keys = ring.keys();
  auto it = std::find_if(keys.begin(), keys.end(),
                         [&](const SigningKey& key) { return token.starts_with(key.header); });
  return it == keys.end() ? nullptr : &*it;
}

// A claim that may be missing but not of another type.
struct ClaimReader {
  const object& claims;
  bool ok = true;

  std::optional<int64_t> time(const char* name) {
    element value;
    if (claims.at_key(name).get(value) != simdjson::SUCCESS) return std::nullopt;
    int64_t seconds = 0;
    if (!value.is_int64() || value.get(seconds) != simdjson::SUCCESS || seconds < 0 ||
        seconds > kLatestTime) {
      ok = false;
      return std::nullopt;
    }
    return seconds;
  }

  std::optional<std::string_view> text(const char* name) {
    element value;
    if (claims.at_key(name).get(value) != simdjson::SUCCESS) return std::nullopt;
    std::string_view text;
    if (value.get(text) != simdjson::SUCCESS) {
      ok = false;
      return std::nullopt;
    }
    return text;
  }
};

Result<Token> check_claims(Token token, const Checks& checks) {
  thread_local simdjson::dom::parser parser;
  object claims;
  if (parser.parse(token.payload).get(claims) != simdjson::SUCCESS)
    return refused("the claims are not a JSON object");

  ClaimReader reader{claims};
  auto subject = reader.text("sub");
  auto id = reader.text("jti");
  auto audience = reader.text("aud");
  auto expires = reader.time("exp");
  auto not_before = reader.time("nbf");
  auto issued = reader.time("iat");
  if (!reader.ok) return refused("a registered claim has the wrong type");
  if (!expires) return refused("the claim exp is missing");
  if (!checks.audience.empty() && audience != checks.audience)
    return refused("the token is for another audience");
  if (not_before.value_or(0) > checks.now + checks.leeway)
    return refused("the token is not valid yet");
  if (issued.value_or(0) > checks.now + checks.leeway)
    return refused("the token was issued in the future");
  // RFC 7519 section 4.1.4: on or after the expiration time it must not be accepted.
  if (checks.now >= *expires + checks.leeway)
    return Error(errors::kTokenExpired, "the token has expired");

  token.subject = subject.value_or("");
  token.id = id.value_or("");
  token.issued_at = issued.value_or(0);
  token.expires_at = *expires;
  return token;
}

}  // namespace

std::string sign(const KeyRing& ring, std::string_view claims) {
  const SigningKey& key = ring.signing();
  std::string out = key.header;
  out += base64url_encode(claims);
  const std::string tag = key.hmac.compute(out);
  out += '.';
  out += base64url_encode(tag);
  return out;
}

Result<Token> verify(const KeyRing& ring, std::string_view token, const Checks& checks) {
  if (token.size() > checks.max_bytes) return refused("the token is too long");
  const SigningKey* key = key_of(ring, token);
  if (key == nullptr) return refused("the header is not that of a known key");
  const size_t dot = token.rfind('.');
  // No room for a payload: the last dot is the header's.
  if (dot <= key->header.size()) return refused("a part is missing");
  if (token.size() - dot - 1 != kSignatureCharacters)
    return refused("the signature has the wrong length");
  auto tag = base64url_decode(token.substr(dot + 1));
  if (!tag || !constant_time_equal(*tag, key->hmac.compute(token.substr(0, dot))))
    return refused("the signature does not match");
  auto payload = base64url_decode(token.substr(key->header.size(), dot - key->header.size()));
  if (!payload) return refused("the payload is not base64url");
  Token out;
  out.key_id = key->id;
  out.payload = *std::move(payload);
  return check_claims(std::move(out), checks);
}

int64_t unix_now() {
  return std::chrono::duration_cast<std::chrono::seconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

}  // namespace raymesh::crypto::jwt
