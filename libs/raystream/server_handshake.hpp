// The server's side of a handshake, in two steps with room for waiting between them: `read` takes
// the INIT frame and computes no more than a hash, so that limits and the look-up of a session to
// resume come before anything expensive; `accept` computes the keys and the RESPONSE frame. Belongs
// to the connection; one thread at a time; about 300 bytes and no secrets between the steps.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "libs/crypto/x25519.hpp"
#include "libs/raystream/frame.hpp"
#include "libs/raystream/key_schedule.hpp"
#include "libs/raystream/outgoing_buffer.hpp"
#include "libs/raystream/server_keys.hpp"
#include "libs/raystream/session.hpp"

namespace raymesh::raystream {

inline constexpr Cipher kServerCiphers[] = {Cipher::kChaCha20Poly1305, Cipher::kAes256Gcm};

class ServerHandshake {
 public:
  /// `ciphers`, best first, lives as long as this object.
  explicit ServerHandshake(std::span<const Cipher> ciphers = kServerCiphers) : ciphers_(ciphers) {}

  /// What the first frame of a connection must be.
  static Expected expected() {
    return {.types = bit(FrameType::kHandshakeInit), .max_payload = kMaxHandshakePayload};
  }

  /// Takes exactly one whole frame, which is not needed any more afterwards.
  Refusal read(std::string_view frame);

  /// After `read`: the session that the client wants to resume; empty: none.
  std::string_view resume_id() const { return {resume_id_.data(), resume_id_size_}; }
  /// Whether INIT's binder was made with this secret. Consumes nothing; constant time.
  bool binder_fits(std::string_view resumption_secret) const;

  struct Terms {
    /// A new id; or resume_id(), together with the session's secret, when that can be resumed.
    std::string_view session_id;
    std::string_view resumption_secret{};
    uint64_t expires_at = 0;  // Unix milliseconds
  };

  /// After `read`, once. Appends the RESPONSE frame to `out` and opens `session`. A secret whose
  /// binder does not fit is never used: INTERNAL_ERROR, as for other terms that contradict INIT,
  /// and INVALID_REQUEST for a client's key of low order.
  Refusal accept(const ServerKeys& keys, const Terms& terms, OutgoingBuffer& out, Session& session);
  /// The same with a given ephemeral key, which must never be used twice: for known answers.
  Refusal accept_with(const crypto::Secret32& ephemeral, const ServerKeys& keys, const Terms& terms,
                      OutgoingBuffer& out, Session& session);

 private:
  enum class State : uint8_t { kFresh, kRead, kDone };

  std::span<const Cipher> ciphers_;
  crypto::Sha256 init_hash_;  // over the whole INIT frame
  Hash offer_hash_{};
  std::array<char, crypto::kX25519Bytes> client_public_{};
  std::array<char, kBinderBytes> binder_{};
  std::array<char, kSessionIdBytes> resume_id_{};
  std::array<char, 32> wanted_key_{};
  uint8_t resume_id_size_ = 0;
  uint8_t wanted_key_size_ = 0;
  Cipher cipher_ = Cipher::kChaCha20Poly1305;
  State state_ = State::kFresh;
};

}  // namespace raymesh::raystream
