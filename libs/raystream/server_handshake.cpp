#include "libs/raystream/server_handshake.hpp"

#include <algorithm>
#include <string>
#include <utility>

#include "libs/crypto/hash.hpp"
#include "libs/raystream/handshake_frames.hpp"
#include "libs/raystream/plain_frame.hpp"
#include "libs/raystream/session_id.hpp"
#include "raymesh/raystream/v1/raystream.pb.h"

namespace raymesh::raystream {
namespace {

Refusal invalid(std::string_view why) {
  return {ErrorCode::kInvalidRequest, why};
}

Refusal defect(std::string_view why) {
  return {ErrorCode::kInternalError, why};
}

std::optional<Cipher> choose(std::span<const Cipher> ours, const v1::Offer& offer) {
  for (const Cipher cipher : ours)
    for (const std::string& name : offer.supported_ciphers())
      if (name == name_of(cipher)) return cipher;
  return std::nullopt;
}

}  // namespace

Refusal ServerHandshake::read(std::string_view frame) {
  // A connection has one INIT: what follows a refused one is no second chance.
  if (std::exchange(state_, State::kDone) != State::kFresh)
    return invalid("a second HANDSHAKE_INIT");
  if (const Refusal refusal = check_plain_frame(frame, expected())) return refusal;
  const std::string_view payload = payload_of(frame);
  v1::HandshakeInit init;
  v1::Offer offer;
  if (!parse_message(payload, init) || !parse_message(init.offer(), offer))
    return invalid("HANDSHAKE_INIT is no such message");
  if (offer.version() != kVersion) return invalid("the offer is not of version 1");
  if (offer.client_pub().size() != client_public_.size())
    return invalid("client_pub must have 32 bytes");
  if (offer.supported_ciphers_size() > static_cast<int>(kMaxOfferedCiphers))
    return invalid("more than 16 ciphers are offered");
  const auto cipher = choose(ciphers_, offer);
  if (!cipher) return invalid("none of the offered ciphers is known");
  if (!offer.server_key_id().empty() && !is_server_key_id(offer.server_key_id()))
    return invalid("server_key_id is not the id of a key");
  const bool resumes = !offer.session_id().empty();
  if (resumes && !is_session_id(offer.session_id())) return invalid("session_id is no UUIDv7");
  if (init.binder().size() != (resumes ? kBinderBytes : 0))
    return invalid("a binder of 32 bytes belongs to a session_id, and only to one");

  init_hash_.update(frame);
  offer_hash_ = hash_of_offer(frame, init.offer());
  std::copy(offer.client_pub().begin(), offer.client_pub().end(), client_public_.begin());
  std::copy(init.binder().begin(), init.binder().end(), binder_.begin());
  std::copy(offer.session_id().begin(), offer.session_id().end(), resume_id_.begin());
  std::copy(offer.server_key_id().begin(), offer.server_key_id().end(), wanted_key_.begin());
  resume_id_size_ = static_cast<uint8_t>(offer.session_id().size());
  wanted_key_size_ = static_cast<uint8_t>(offer.server_key_id().size());
  cipher_ = *cipher;
  state_ = State::kRead;
  return {};
}

bool ServerHandshake::binder_fits(std::string_view resumption_secret) const {
  if (state_ != State::kRead || resume_id_size_ == 0 ||
      resumption_secret.size() != crypto::Secret32::size())
    return false;
  const Hash binder = make_binder(resumption_secret, offer_hash_);
  return crypto::constant_time_equal(view(binder), {binder_.data(), binder_.size()});
}

Refusal ServerHandshake::accept(const ServerKeys& keys, const Terms& terms, OutgoingBuffer& out,
                                Session& session) {
  crypto::Secret32 ephemeral;
  crypto::x25519_generate(ephemeral);
  return accept_with(ephemeral, keys, terms, out, session);
}

Refusal ServerHandshake::accept_with(const crypto::Secret32& ephemeral, const ServerKeys& keys,
                                     const Terms& terms, OutgoingBuffer& out, Session& session) {
  if (state_ != State::kRead) return defect("there is no HANDSHAKE_INIT to accept");
  const bool resumed = !terms.resumption_secret.empty();
  if (!is_session_id(terms.session_id)) return defect("the session id is no UUIDv7");
  if (resumed != (terms.session_id == resume_id()))
    return defect("a resumed session keeps its id, a new one has a new one");
  if (resumed && !binder_fits(terms.resumption_secret)) return defect("the binder does not fit");
  state_ = State::kDone;

  const std::string_view client_public(client_public_.data(), client_public_.size());
  crypto::X25519PublicKey server_public;
  crypto::x25519_public_key(ephemeral, server_public);
  crypto::Secret32 shared;
  if (!crypto::x25519_shared(ephemeral, client_public, shared))
    return invalid("client_pub is a point of low order");

  const ServerKey& signer = keys.signing({wanted_key_.data(), wanted_key_size_});
  v1::Hello hello;
  hello.set_version(kVersion);
  hello.set_server_pub(server_public.data(), server_public.size());
  hello.set_session_id(terms.session_id.data(), terms.session_id.size());
  const std::string_view cipher_name = name_of(cipher_);
  hello.set_selected_cipher(cipher_name.data(), cipher_name.size());
  hello.set_expires_at(terms.expires_at);
  hello.set_server_key_id(signer.id);
  hello.set_resumed(resumed);
  v1::HandshakeResponse response;
  hello.SerializeToString(response.mutable_hello());
  crypto::Sha256 hello_hash = init_hash_;
  const auto text = text_to_sign(finish(hello_hash.update(response.hello())));
  crypto::Ed25519Signature signature;
  signer.key.sign({text.data(), text.size()}, signature);
  response.set_signature(signature.data(), signature.size());

  const std::string payload = response.SerializeAsString();
  char header[kHeaderBytes];
  write_header(header, FrameType::kHandshakeResponse, 0, static_cast<uint32_t>(payload.size()));
  const Hash transcript = finish(init_hash_.update({header, kHeaderBytes}).update(payload));

  auto session_keys = crypto::Locked<SessionKeys>::make();
  {
    crypto::Secret32 psk;
    crypto::Secret32 session_key;
    if (resumed) derive_resume_psk(terms.resumption_secret, psk);
    derive_session_key(shared, resumed ? &psk : nullptr, terms.session_id, client_public,
                       {server_public.data(), server_public.size()}, session_key);
    derive_session_keys(session_key, transcript, *session_keys);
  }
  char* frame = append_plain_frame(FrameType::kHandshakeResponse, payload, out);
  make_confirmation(cipher_, session_keys->server_to_client.key, transcript,
                    std::span<char, kTagBytes>(frame + kPayloadOffset + payload.size(), kTagBytes));
  session = Session(Role::kServer, resumed ? Phase::kResuming : Phase::kOpen, cipher_,
                    terms.session_id, std::move(session_keys));
  return {};
}

}  // namespace raymesh::raystream
