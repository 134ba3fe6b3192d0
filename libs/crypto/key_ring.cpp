#include "libs/crypto/key_ring.hpp"

#include <algorithm>

#include "libs/base/encoding.hpp"
#include "libs/crypto/random.hpp"

namespace raymesh::crypto {
namespace {

bool is_key_id(std::string_view kid) {
  auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
  };
  return !kid.empty() && kid.size() <= 32 && std::all_of(kid.begin(), kid.end(), allowed);
}

std::string encoded_header(std::string_view kid) {
  std::string json = R"({"alg":"HS256","typ":"JWT","kid":")";
  json += kid;
  json += R"("})";
  return base64url_encode(json) + '.';
}

}  // namespace

Result<KeyRing> KeyRing::parse(std::span<const std::string> pairs) {
  if (pairs.empty()) return Error(errors::kInvalidValue, "no token key is given");
  if (pairs.size() > kMaxKeys)
    return Error(errors::kInvalidValue, "more than 16 token keys are given");
  std::vector<SigningKey> keys;
  for (std::string_view pair : pairs) {
    const std::string position = "token key " + std::to_string(keys.size() + 1);
    const size_t colon = pair.find(':');
    if (colon == std::string_view::npos)
      return Error(errors::kInvalidValue, position + " is not of the form kid:secret");
    std::string kid(pair.substr(0, colon));
    std::string_view secret = pair.substr(colon + 1);
    // A key without id would be printed as such: what stands before the colon may be the secret.
    if (!is_key_id(kid))
      return Error(errors::kInvalidValue,
                   position + ": the kid must be 1 to 32 characters of [A-Za-z0-9._-]");
    if (secret.size() < kMinSecretBytes)
      return Error(errors::kInvalidValue, position + " (" + kid + "): the secret has " +
                                              std::to_string(secret.size()) +
                                              " bytes, at least 32 are needed");
    if (std::any_of(keys.begin(), keys.end(), [&](const SigningKey& k) { return k.id == kid; }))
      return Error(errors::kInvalidValue, position + ": the kid " + kid + " is used twice");
    keys.push_back({kid, HmacKey(secret), encoded_header(kid)});
  }
  return KeyRing(std::move(keys));
}

std::string KeyRing::generate(std::string_view kid) {
  return std::string(kid) + ':' + random_token(32);
}

}  // namespace raymesh::crypto
