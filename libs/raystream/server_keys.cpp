#include "libs/raystream/server_keys.hpp"

#include <algorithm>

#include "libs/base/encoding.hpp"
#include "libs/crypto/secret.hpp"

namespace raymesh::raystream {

bool is_server_key_id(std::string_view id) {
  auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
  };
  return !id.empty() && id.size() <= 32 && std::all_of(id.begin(), id.end(), allowed);
}

Result<ServerKeys> ServerKeys::parse(std::span<const std::string> pairs) {
  if (pairs.empty()) return Error(errors::kInvalidValue, "no raystream signing key is given");
  if (pairs.size() > kMaxKeys)
    return Error(errors::kInvalidValue, "more than 16 raystream signing keys are given");
  std::vector<ServerKey> keys;
  for (const std::string_view pair : pairs) {
    const std::string position = "raystream signing key " + std::to_string(keys.size() + 1);
    const size_t colon = pair.find(':');
    if (colon == std::string_view::npos)
      return Error(errors::kInvalidValue, position + " is not of the form id:seed");
    std::string id(pair.substr(0, colon));
    // What is no id is not printed: it may be the seed.
    if (!is_server_key_id(id))
      return Error(errors::kInvalidValue,
                   position + ": the id must be 1 to 32 characters of [A-Za-z0-9._-]");
    auto seed = base64url_decode(pair.substr(colon + 1));
    if (!seed || seed->size() != crypto::kEd25519SeedBytes) {
      if (seed) crypto::wipe(*seed);
      return Error(errors::kInvalidValue,
                   position + " (" + id + "): the seed must be 32 bytes as base64url");
    }
    crypto::WipeOnExit wiped(*seed);
    if (std::any_of(keys.begin(), keys.end(), [&](const ServerKey& k) { return k.id == id; }))
      return Error(errors::kInvalidValue, position + ": the id " + id + " is used twice");
    RAYMESH_TRY(auto key, crypto::Ed25519Key::from_seed(*seed));
    keys.push_back({std::move(id), std::move(key)});
  }
  return ServerKeys(std::move(keys));
}

std::string ServerKeys::generate(std::string_view id) {
  return std::string(id) + ':' + base64url_encode(crypto::Ed25519Key::generate().seed());
}

const ServerKey& ServerKeys::signing(std::string_view wanted_id) const {
  const auto found = std::find_if(keys_.begin(), keys_.end(),
                                  [&](const ServerKey& key) { return key.id == wanted_id; });
  return found != keys_.end() ? *found : keys_.front();
}

}  // namespace raymesh::raystream
