// The keys that the stored state of sessions is encrypted with, the same on every gateway and known
// to nobody else. Several at a time for rotation: add the new one at the end everywhere, then move
// it to the front, then take out the old one when the sessions of before are over or written anew.
// The keys lie in the arena of secrets. Immutable after start-up: any thread.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "libs/base/result.hpp"
#include "libs/crypto/secret.hpp"
#include "libs/crypto/secret_arena.hpp"
#include "libs/crypto/secret_array.hpp"

namespace raymesh::raystream {

class StateKeys {
 public:
  static constexpr size_t kMaxKeys = 16;

  /// From "id:key" texts, the key being 32 bytes as base64url. Errors: `invalid_value`, naming the
  /// key by position and id and never by its bytes.
  static Result<StateKeys> parse(std::span<const std::string> pairs);
  /// A new random "id:key".
  static std::string generate(std::string_view id);

  /// With the first key: the form, the key's id, and a record as libs/crypto/record.hpp makes it.
  std::string seal(std::string_view aad, std::string_view text) const;
  /// With whichever key it names. nullopt: not sealed by one of these with this `aad`, or changed.
  std::optional<crypto::Secret> open(std::string_view aad, std::string_view sealed) const;

  /// Of all keys, in their order.
  std::vector<std::string> ids() const;

 private:
  struct Key {
    std::string id;
    crypto::Locked<crypto::Secret32> key;
  };
  explicit StateKeys(std::vector<Key> keys) : keys_(std::move(keys)) {}

  // Invariant: at least one key, ids are unique.
  std::vector<Key> keys_;
};

}  // namespace raymesh::raystream
