// The client's side of a handshake: `start` writes INIT, `read` takes the answer and opens the
// session when everything about it is right. Belongs to one connection and is used once; one thread
// at a time. The ephemeral key lies in the arena of secrets until the answer has come.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "libs/crypto/ed25519.hpp"
#include "libs/crypto/x25519.hpp"
#include "libs/raystream/frame.hpp"
#include "libs/raystream/key_schedule.hpp"
#include "libs/raystream/outgoing_buffer.hpp"
#include "libs/raystream/plain_frame.hpp"
#include "libs/raystream/session.hpp"

namespace raymesh::raystream {

/// A server's key that the client trusts.
struct PinnedKey {
  std::string id;
  crypto::Ed25519PublicKey key{};
};

/// What a client keeps of a session to resume it.
struct Resumption {
  std::string session_id;
  crypto::Secret secret;  // Session::resumption_secret
};

struct ClientOptions {
  /// At least one; the first one's id is what the server is asked for.
  std::vector<PinnedKey> pinned;
  std::vector<Cipher> ciphers{Cipher::kChaCha20Poly1305, Cipher::kAes256Gcm};
};

class ClientHandshake {
 public:
  explicit ClientHandshake(ClientOptions options) : options_(std::move(options)) {}

  /// Appends the INIT frame to `out`. With `resume`, which is read during the call and kept by its
  /// owner, the server is asked to go on with that session.
  void start(const Resumption* resume, OutgoingBuffer& out);
  /// The same with a given ephemeral key, which must never be used twice: for known answers.
  void start_with(const crypto::Secret32& ephemeral, const Resumption* resume, OutgoingBuffer& out);

  /// What the first frame from the server must be.
  static Expected expected() {
    return {.types = bit(FrameType::kHandshakeResponse) | bit(FrameType::kClose),
            .max_payload = kMaxHandshakePayload};
  }

  /// Takes exactly one whole frame. A refusal ends the connection without a word to the server,
  /// which could not tell who speaks; try again by the rules of the protocol page, "Retrying",
  /// never with less than was asked for before.
  Refusal read(std::string_view frame, Session& session);

  /// After a refusal: what the server said in a plain CLOSE. Anybody on the way could have said it.
  const CloseReason* refused_by_server() const { return closed_ ? &close_ : nullptr; }

  /// After `read` without a refusal. Not resumed although that was asked: the old session is gone.
  bool resumed() const { return resumed_; }
  uint64_t expires_at() const { return expires_at_; }  // Unix milliseconds

 private:
  struct Secrets {
    crypto::Secret32 ephemeral;
    crypto::Secret32 psk;
  };

  Refusal read_response(std::string_view frame, Session& session);
  const PinnedKey* pinned(std::string_view id) const;

  ClientOptions options_;
  // Invariant: holds the secrets from `start` until `read`, and only then.
  crypto::Locked<Secrets> secrets_;
  crypto::X25519PublicKey client_public_{};
  crypto::Sha256 init_hash_;  // over the whole INIT frame
  std::string resume_id_;
  CloseReason close_;
  uint64_t expires_at_ = 0;
  bool closed_ = false;
  bool resumed_ = false;
};

}  // namespace raymesh::raystream
