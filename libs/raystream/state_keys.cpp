#include "libs/raystream/state_keys.hpp"

#include <algorithm>

#include "libs/base/encoding.hpp"
#include "libs/crypto/random.hpp"
#include "libs/crypto/record.hpp"
#include "libs/raystream/server_keys.hpp"

namespace raymesh::raystream {
namespace {

constexpr char kForm = 1;

}  // namespace

Result<StateKeys> StateKeys::parse(std::span<const std::string> pairs) {
  if (pairs.empty()) return Error(errors::kInvalidValue, "no raystream state key is given");
  if (pairs.size() > kMaxKeys)
    return Error(errors::kInvalidValue, "more than 16 raystream state keys are given");
  std::vector<Key> keys;
  for (const std::string_view pair : pairs) {
    const std::string position = "raystream state key " + std::to_string(keys.size() + 1);
    const size_t colon = pair.find(':');
    if (colon == std::string_view::npos)
      return Error(errors::kInvalidValue, position + " is not of the form id:key");
    std::string id(pair.substr(0, colon));
    // What is no id is not printed: it may be the key.
    if (!is_server_key_id(id))
      return Error(errors::kInvalidValue,
                   position + ": the id must be 1 to 32 characters of [A-Za-z0-9._-]");
    auto bytes = base64url_decode(pair.substr(colon + 1));
    if (!bytes || bytes->size() != crypto::Secret32::size()) {
      if (bytes) crypto::wipe(*bytes);
      return Error(errors::kInvalidValue,
                   position + " (" + id + "): the key must be 32 bytes as base64url");
    }
    crypto::WipeOnExit wiped(*bytes);
    if (std::any_of(keys.begin(), keys.end(), [&](const Key& k) { return k.id == id; }))
      return Error(errors::kInvalidValue, position + ": the id " + id + " is used twice");
    auto key = crypto::Locked<crypto::Secret32>::make();
    key->assign(*bytes);
    keys.push_back({std::move(id), std::move(key)});
  }
  return StateKeys(std::move(keys));
}

std::string StateKeys::generate(std::string_view id) {
  return std::string(id) + ':' + crypto::random_token(crypto::Secret32::size());
}

std::string StateKeys::seal(std::string_view aad, std::string_view text) const {
  const Key& first = keys_.front();
  std::string sealed;
  sealed.reserve(2 + first.id.size() + crypto::kRecordOverhead + text.size());
  sealed += kForm;
  sealed += static_cast<char>(first.id.size());
  sealed += first.id;
  crypto::seal_record(*first.key, aad, text, sealed);
  return sealed;
}

std::optional<crypto::Secret> StateKeys::open(std::string_view aad, std::string_view sealed) const {
  if (sealed.size() < 2 || sealed[0] != kForm) return std::nullopt;
  const auto id_bytes = static_cast<unsigned char>(sealed[1]);
  if (sealed.size() - 2 < id_bytes) return std::nullopt;
  const std::string_view id = sealed.substr(2, id_bytes);
  for (const Key& key : keys_)
    if (key.id == id) return crypto::open_record(*key.key, aad, sealed.substr(2 + id_bytes));
  return std::nullopt;
}

std::vector<std::string> StateKeys::ids() const {
  std::vector<std::string> ids;
  for (const Key& key : keys_) ids.push_back(key.id);
  return ids;
}

}  // namespace raymesh::raystream
