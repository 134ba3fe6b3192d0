#include "libs/raystream/key_schedule.hpp"

#include <algorithm>
#include <cstring>

namespace raymesh::raystream {
namespace {

using crypto::HmacSha256;
using crypto::Secret32;

constexpr std::string_view kSalt = "raystream-v1";
constexpr std::string_view kBinderLabel{"raystream-v1 binder\0", 20};

// A label and the transcript behind it.
void expand_with(const Secret32& secret, std::string_view label, const Hash& transcript,
                 Secret32& out) {
  char info[64];
  std::memcpy(info, label.data(), label.size());
  std::memcpy(info + label.size(), transcript.data(), transcript.size());
  crypto::hkdf_expand(secret.view(), {info, label.size() + transcript.size()}, out);
}

void derive_key(DirectionKeys& keys) {
  keys.expanded.reset();
  crypto::hkdf_expand(keys.secret.view(), "raystream-v1 key", keys.key);
}

}  // namespace

Hash finish(crypto::Sha256& state) {
  Hash hash;
  state.finish(reinterpret_cast<unsigned char*>(hash.data()));
  return hash;
}

void derive_session_key(const Secret32& shared, const Secret32* psk, std::string_view session_id,
                        std::string_view client_public, std::string_view server_public,
                        Secret32& session_key) {
  HmacSha256 extract(kSalt);
  extract.update(shared.view());
  if (psk != nullptr) extract.update(psk->view());
  Secret32 prk;
  extract.finish(prk.data());
  // HKDF-Expand for 32 bytes, without a copy of its info.
  constexpr char kFirstBlock = 1;
  HmacSha256(prk.view())
      .update(session_id)
      .update(client_public)
      .update(server_public)
      .update({&kFirstBlock, 1})
      .finish(session_key.data());
}

void derive_session_keys(const Secret32& session_key, const Hash& transcript, SessionKeys& keys) {
  expand_with(session_key, "raystream-v1 c2s", transcript, keys.client_to_server.secret);
  expand_with(session_key, "raystream-v1 s2c", transcript, keys.server_to_client.secret);
  expand_with(session_key, "raystream-v1 resumption", transcript, keys.resumption);
  derive_key(keys.client_to_server);
  derive_key(keys.server_to_client);
}

void advance_epoch(DirectionKeys& keys) {
  crypto::hkdf_expand(keys.secret.view(), "raystream-v1 next", keys.secret);
  derive_key(keys);
}

void derive_resume_psk(std::string_view resumption_secret, Secret32& psk) {
  crypto::hkdf_expand(resumption_secret, "raystream-v1 resume psk", psk);
}

Hash make_binder(std::string_view resumption_secret, const Hash& offer_hash) {
  Secret32 key;
  crypto::hkdf_expand(resumption_secret, "raystream-v1 binder key", key);
  Hash binder;
  HmacSha256(key.view())
      .update(kBinderLabel)
      .update(view(offer_hash))
      .finish(reinterpret_cast<unsigned char*>(binder.data()));
  return binder;
}

std::array<char, kSignatureLabel.size() + std::tuple_size_v<Hash>> text_to_sign(
    const Hash& hello_hash) {
  std::array<char, kSignatureLabel.size() + std::tuple_size_v<Hash>> text;
  std::copy(kSignatureLabel.begin(), kSignatureLabel.end(), text.begin());
  std::copy(hello_hash.begin(), hello_hash.end(), text.begin() + kSignatureLabel.size());
  return text;
}

}  // namespace raymesh::raystream
