// An encrypted session after its handshake, at either end: which frames may come and go in which
// phase, in one order each way, with one key per direction and epoch. Owns its keys and counters
// and nothing else: bytes that come in are decrypted in the caller's buffer, bytes that go out are
// encrypted in an OutgoingBuffer. No socket, no clock, no thread of its own; one thread at a time.
// 80 bytes, and 192 in the arena of secrets; no call allocates but for a buffer that grows.
//
// That no nonce is used twice with a key follows from the shape: there is one function that
// encrypts (seal_in_place), it takes the nonce from the counter that it moves on itself, a session
// can be moved but not copied, and what it was moved from is closed.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string_view>

#include "libs/crypto/secret_arena.hpp"
#include "libs/raystream/frame.hpp"
#include "libs/raystream/key_schedule.hpp"
#include "libs/raystream/outgoing_buffer.hpp"

namespace google::protobuf {
class MessageLite;
}

namespace raymesh::raystream {

/// How far a session has come. Which frames each allows is in the protocol page, "States".
enum class Phase : uint8_t {
  kOpen,           // after the handshake of a new session, before auth.attach has succeeded
  kResuming,       // after the handshake of a resumed one, before RESUME
  kResumePending,  // RESUME was sent, its answer was not
  kAttached,
  kClosed,
};

/// The types that may travel from the client to the server, or back, in this phase.
FrameTypes types_from_client(Phase phase);
FrameTypes types_from_server(Phase phase);

/// A frame that was opened; the payload is in the buffer that was given.
struct Incoming {
  FrameType type = FrameType::kClose;
  std::span<char> payload;
};

enum class Sent : uint8_t {
  kOk,
  kTooLong,  // the payload is above the limit of the phase: divide it
  kNotNow,   // this phase has no such frame from this end, or the session is closed
};

class Session {
 public:
  /// Closed.
  Session() = default;
  Session(Session&& other) noexcept;
  Session& operator=(Session&& other) noexcept;
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  Role role() const { return role_; }
  Phase phase() const { return phase_; }
  Cipher cipher() const { return cipher_; }
  bool closed() const { return phase_ == Phase::kClosed; }
  std::string_view id() const { return {id_.data(), id_.size()}; }
  /// What resumes this session: to be kept by both ends. 32 bytes, gone when the session is closed.
  std::string_view resumption_secret() const;

  /// What the next frame must be: for parse_frame or FrameStream. The limit counts for the
  /// transport, too (a WebSocket's largest message is kFrameOverhead more).
  Expected expected() const;
  /// The largest payload that `seal` takes now.
  uint32_t max_payload() const;

  /// Decrypts `frame`, exactly one whole frame, where it lies, and moves the session on: RESUME and
  /// CLOSE change its phase. After a refusal nothing more can be opened; the keys of that direction
  /// are gone, and `close` still tells the other end. On a bad tag (DECRYPTION_FAILED) the payload
  /// has become zeros.
  Refusal open(std::span<char> frame, Incoming& out);

  /// Appends an encrypted frame to `out`. The pieces, which must not lie in `out`, are joined to
  /// one payload. After a refusal of `open` only CLOSE may be sent.
  [[nodiscard]] Sent seal(FrameType type, std::initializer_list<std::string_view> pieces,
                          OutgoingBuffer& out);
  [[nodiscard]] Sent seal(FrameType type, std::string_view payload, OutgoingBuffer& out) {
    return seal(type, {payload}, out);
  }
  /// The same, serializing the message to where it is encrypted.
  [[nodiscard]] Sent seal(FrameType type, const google::protobuf::MessageLite& message,
                          OutgoingBuffer& out);

  /// auth.attach has succeeded: the server calls this after sealing the answer, the client before
  /// it looks at what follows the answer. Changes nothing in another phase than kOpen.
  void attached();

  /// Appends a CLOSE frame, unless the session is closed already, and closes: all keys are wiped.
  /// `reason` is for people, of UTF-8, and cut at 256 bytes.
  void close(ErrorCode code, std::string_view reason, OutgoingBuffer& out);
  /// Gives back what busy keys are expanded to; the next frame makes it anew. For sessions that
  /// fall idle.
  void rest();
  /// Closes without a word: the connection is gone.
  void drop();

 private:
  friend class ClientHandshake;
  friend class ServerHandshake;

  // One direction's place: what the next frame has.
  struct Counter {
    uint64_t epoch = 0;
    uint32_t sequence = 1;
  };

  Session(Role role, Phase phase, Cipher cipher, std::string_view id,
          crypto::Locked<SessionKeys> keys);

  DirectionKeys& outgoing_keys() const;
  DirectionKeys& incoming_keys() const;
  static void step(Counter& counter, DirectionKeys& keys);
  Refusal fail(Refusal refusal);
  Sent begin(FrameType type, size_t payload_bytes) const;
  void seal_in_place(FrameType type, char* frame, size_t payload_bytes);
  void after(FrameType type, bool outgoing);

  // Invariant: keys_ is empty exactly when phase_ is kClosed.
  crypto::Locked<SessionKeys> keys_;
  Counter outgoing_;
  Counter incoming_;
  std::array<char, kSessionIdBytes> id_{};
  Role role_ = Role::kServer;
  Phase phase_ = Phase::kClosed;
  Cipher cipher_ = Cipher::kChaCha20Poly1305;
  // A frame was refused: nothing more is opened.
  bool deaf_ = false;
};

}  // namespace raymesh::raystream
