// The keys by which servers prove who they are, the same on every gateway. Several at a time for
// rotation: add the new one at the end everywhere, have clients pin it, then move it to the front,
// then take out the old one. Immutable after start-up: any thread.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "libs/base/result.hpp"
#include "libs/crypto/ed25519.hpp"

namespace raymesh::raystream {

/// 1 to 32 characters of [A-Za-z0-9._-].
bool is_server_key_id(std::string_view id);

struct ServerKey {
  std::string id;
  crypto::Ed25519Key key;
};

class ServerKeys {
 public:
  static constexpr size_t kMaxKeys = 16;

  /// From "id:seed" texts, the seed being 32 bytes as base64url. Errors: `invalid_value`, naming
  /// the key by position and id and never by its seed.
  static Result<ServerKeys> parse(std::span<const std::string> pairs);
  /// A new random "id:seed".
  static std::string generate(std::string_view id);

  /// The key of this id, or the first one when there is none of that id.
  const ServerKey& signing(std::string_view wanted_id) const;
  std::span<const ServerKey> keys() const { return keys_; }

 private:
  explicit ServerKeys(std::vector<ServerKey> keys) : keys_(std::move(keys)) {}

  // Invariant: at least one key, ids are unique.
  std::vector<ServerKey> keys_;
};

}  // namespace raymesh::raystream
