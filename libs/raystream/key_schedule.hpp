// Every formula of the protocol that has to do with keys (docs/protocols/raystream.md, "Keys"), and
// nothing else. Pure functions without allocation; any thread.
#pragma once

#include <array>
#include <string_view>

#include "libs/crypto/aead.hpp"
#include "libs/crypto/sha256.hpp"
#include "libs/raystream/protocol.hpp"

namespace raymesh::raystream {

using Hash = std::array<char, crypto::Sha256::kBytes>;

inline std::string_view view(const Hash& hash) {
  return {hash.data(), hash.size()};
}
/// Ends the hash that `state` has come to; `state` begins anew.
Hash finish(crypto::Sha256& state);

/// One direction's secret, which each epoch replaces, and the key that encrypts in this epoch.
struct DirectionKeys {
  crypto::Secret32 secret;
  crypto::Secret32 key;
  crypto::ExpandedKey expanded;  // of `key`
};

/// All secrets of a session; lives in the arena of secrets.
struct SessionKeys {
  DirectionKeys client_to_server;
  DirectionKeys server_to_client;
  crypto::Secret32 resumption;
};

/// `psk` is what `derive_resume_psk` made of the session that is resumed; null: none is.
void derive_session_key(const crypto::Secret32& shared, const crypto::Secret32* psk,
                        std::string_view session_id, std::string_view client_public,
                        std::string_view server_public, crypto::Secret32& session_key);

/// The secrets and keys of epoch 0. `transcript` is H: SHA-256 of the whole INIT frame, RESPONSE's
/// header and RESPONSE's payload.
void derive_session_keys(const crypto::Secret32& session_key, const Hash& transcript,
                         SessionKeys& keys);

/// Makes `keys` those of the next epoch; the old ones are overwritten.
void advance_epoch(DirectionKeys& keys);

void derive_resume_psk(std::string_view resumption_secret, crypto::Secret32& psk);

/// What proves that a client has the resumption secret. `offer_hash` is SHA-256 of INIT's header
/// and the offer.
Hash make_binder(std::string_view resumption_secret, const Hash& offer_hash);

/// What the server signs. `hello_hash` is SHA-256 of the whole INIT frame and the hello.
inline constexpr std::string_view kSignatureLabel{"raystream-v1 server\0", 20};
std::array<char, kSignatureLabel.size() + std::tuple_size_v<Hash>> text_to_sign(
    const Hash& hello_hash);

}  // namespace raymesh::raystream
