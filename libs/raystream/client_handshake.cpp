#include "libs/raystream/client_handshake.hpp"

#include <algorithm>

#include "libs/raystream/handshake_frames.hpp"
#include "libs/raystream/session_id.hpp"
#include "raymesh/raystream/v1/raystream.pb.h"

namespace raymesh::raystream {
namespace {

Refusal invalid(std::string_view why) {
  return {ErrorCode::kInvalidRequest, why};
}

Refusal untrusted(std::string_view why) {
  return {ErrorCode::kUnauthorized, why};
}

}  // namespace

void ClientHandshake::start(const Resumption* resume, OutgoingBuffer& out) {
  crypto::Secret32 ephemeral;
  crypto::x25519_generate(ephemeral);
  start_with(ephemeral, resume, out);
}

void ClientHandshake::start_with(const crypto::Secret32& ephemeral, const Resumption* resume,
                                 OutgoingBuffer& out) {
  secrets_ = crypto::Locked<Secrets>::make();
  secrets_->ephemeral.assign(ephemeral.view());
  crypto::x25519_public_key(ephemeral, client_public_);
  resume_id_.clear();
  v1::Offer offer;
  offer.set_version(kVersion);
  offer.set_client_pub(client_public_.data(), client_public_.size());
  for (const Cipher cipher : options_.ciphers) {
    const std::string_view name = name_of(cipher);
    offer.add_supported_ciphers(name.data(), name.size());
  }
  if (!options_.pinned.empty()) offer.set_server_key_id(options_.pinned.front().id);
  v1::HandshakeInit init;
  if (resume != nullptr) {
    resume_id_ = resume->session_id;
    offer.set_session_id(resume->session_id);
    derive_resume_psk(resume->secret.view(), secrets_->psk);
    // The header, which the binder covers, says how long the payload is: with the binder in it.
    init.set_binder(std::string(kBinderBytes, '\0'));
  }
  offer.SerializeToString(init.mutable_offer());
  if (resume != nullptr) {
    char header[kHeaderBytes];
    write_header(header, FrameType::kHandshakeInit, 0, static_cast<uint32_t>(init.ByteSizeLong()));
    const Hash binder =
        make_binder(resume->secret.view(), hash_of_offer({header, kHeaderBytes}, init.offer()));
    init.set_binder(binder.data(), binder.size());
  }
  const std::string payload = init.SerializeAsString();
  const char* frame = append_plain_frame(FrameType::kHandshakeInit, payload, out);
  init_hash_ = crypto::Sha256();
  init_hash_.update({frame, kFrameOverhead + payload.size()});
}

Refusal ClientHandshake::read(std::string_view frame, Session& session) {
  if (!secrets_) return invalid("no answer is expected");
  const Refusal refusal = read_response(frame, session);
  secrets_.reset();
  return refusal;
}

const PinnedKey* ClientHandshake::pinned(std::string_view id) const {
  const auto found = std::find_if(options_.pinned.begin(), options_.pinned.end(),
                                  [&](const PinnedKey& key) { return key.id == id; });
  return found != options_.pinned.end() ? &*found : nullptr;
}

Refusal ClientHandshake::read_response(std::string_view frame, Session& session) {
  if (const Refusal refusal = check_plain_frame(frame, expected())) return refusal;
  const std::string_view payload = payload_of(frame);
  if (static_cast<FrameType>(frame[1]) == FrameType::kClose) {
    close_ = read_close(payload);
    closed_ = true;
    const ErrorCode code =
        close_.code == ErrorCode::kNone ? ErrorCode::kServiceUnavailable : close_.code;
    return {code, "the server refused the handshake"};
  }
  v1::HandshakeResponse response;
  v1::Hello hello;
  if (!parse_message(payload, response) || !parse_message(response.hello(), hello))
    return invalid("HANDSHAKE_RESPONSE is no such message");

  // Who speaks comes before what is said.
  const PinnedKey* key = pinned(hello.server_key_id());
  if (key == nullptr) return untrusted("the server's key is not one that is pinned");
  crypto::Sha256 hello_hash = init_hash_;
  const auto text = text_to_sign(finish(hello_hash.update(response.hello())));
  if (!crypto::ed25519_verify({key->key.data(), key->key.size()}, {text.data(), text.size()},
                              response.signature()))
    return untrusted("the server's signature does not fit");
  if (hello.version() != kVersion) return invalid("the hello is not of version 1");
  const auto cipher = cipher_of(hello.selected_cipher());
  if (!cipher || std::find(options_.ciphers.begin(), options_.ciphers.end(), *cipher) ==
                     options_.ciphers.end())
    return invalid("the server chose a cipher that was not offered");
  if (!is_session_id(hello.session_id())) return invalid("session_id is no UUIDv7");
  const bool same = !resume_id_.empty() && hello.session_id() == resume_id_;
  if (hello.resumed() != same)
    return invalid("a resumed session keeps its id, a new one has a new one");

  crypto::Secret32 shared;
  if (!crypto::x25519_shared(secrets_->ephemeral, hello.server_pub(), shared))
    return invalid("server_pub is not 32 bytes, or a point of low order");
  const Hash transcript = finish(init_hash_.update(frame.substr(0, kHeaderBytes)).update(payload));
  auto keys = crypto::Locked<SessionKeys>::make();
  {
    crypto::Secret32 session_key;
    derive_session_key(shared, hello.resumed() ? &secrets_->psk : nullptr, hello.session_id(),
                       {client_public_.data(), client_public_.size()}, hello.server_pub(),
                       session_key);
    derive_session_keys(session_key, transcript, *keys);
  }
  if (!confirmation_fits(*cipher, keys->server_to_client.key, transcript, tag_of(frame)))
    return {ErrorCode::kDecryptionFailed, "the server does not have the session's keys"};
  resumed_ = hello.resumed();
  expires_at_ = hello.expires_at();
  session = Session(Role::kClient, resumed_ ? Phase::kResuming : Phase::kOpen, *cipher,
                    hello.session_id(), std::move(keys));
  return {};
}

}  // namespace raymesh::raystream
