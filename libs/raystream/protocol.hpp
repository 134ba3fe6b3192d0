// The numbers and names of raystream v1 (docs/protocols/raystream.md): frame types, limits,
// timings, ciphers, error codes. Constants and plain values; any thread.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "libs/crypto/aead.hpp"

namespace raymesh::raystream {

inline constexpr uint8_t kVersion = 1;

/// Which end of a connection this is.
enum class Role : uint8_t { kClient, kServer };

enum class FrameType : uint8_t {
  kHandshakeInit = 0x01,
  kHandshakeResponse = 0x02,
  kResume = 0x03,
  kRpcCall = 0x10,
  kRpcResponse = 0x11,
  kRpcError = 0x12,
  kSubscribe = 0x20,
  kEvent = 0x21,
  kHeartbeat = 0x30,
  kClose = 0xff,
};

/// A set of frame types, one bit each.
using FrameTypes = uint32_t;
/// The type's bit; 0 for a byte that is no type.
constexpr FrameTypes bit(FrameType type) {
  switch (type) {
    case FrameType::kHandshakeInit:
      return 1U << 0;
    case FrameType::kHandshakeResponse:
      return 1U << 1;
    case FrameType::kResume:
      return 1U << 2;
    case FrameType::kRpcCall:
      return 1U << 3;
    case FrameType::kRpcResponse:
      return 1U << 4;
    case FrameType::kRpcError:
      return 1U << 5;
    case FrameType::kSubscribe:
      return 1U << 6;
    case FrameType::kEvent:
      return 1U << 7;
    case FrameType::kHeartbeat:
      return 1U << 8;
    case FrameType::kClose:
      return 1U << 9;
  }
  return 0;
}
/// "RPC_CALL"; "unknown" for a byte that is no type.
std::string_view name_of(FrameType type);

inline constexpr size_t kHeaderBytes = 16;
inline constexpr size_t kNonceBytes = crypto::kAeadNonceBytes;
inline constexpr size_t kTagBytes = crypto::kAeadTagBytes;
/// Where the payload begins.
inline constexpr size_t kPayloadOffset = kHeaderBytes + kNonceBytes;
/// What a frame has beside its payload.
inline constexpr size_t kFrameOverhead = kPayloadOffset + kTagBytes;

/// The largest payload of a frame, by how far a session has come.
inline constexpr uint32_t kMaxHandshakePayload = 4 * 1024;
inline constexpr uint32_t kMaxUnattachedPayload = 16 * 1024;
inline constexpr uint32_t kMaxPayload = 1024 * 1024;
/// Arguments or result of one call, over all its frames.
inline constexpr uint32_t kMaxCallBytes = 16 * 1024 * 1024;

/// The last sequence of an epoch; the next frame has the next key.
inline constexpr uint32_t kLastSequence = 1U << 14;

inline constexpr size_t kSessionIdBytes = 36;
inline constexpr size_t kBinderBytes = 32;
inline constexpr size_t kMaxOfferedCiphers = 16;
/// Of a message of the handshake, unknown ones included.
inline constexpr size_t kMaxHandshakeFields = 64;

inline constexpr std::chrono::seconds kHandshakeDeadline{5};
inline constexpr std::chrono::seconds kAttachDeadline{10};
inline constexpr int kMaxUnattachedCalls = 8;
inline constexpr std::chrono::minutes kSessionLife{5};
inline constexpr std::chrono::hours kMaxSessionLife{24};
inline constexpr std::chrono::seconds kHeartbeatPeriod{60};

using Cipher = crypto::AeadCipher;
/// "chacha20-poly1305", "aes-256-gcm".
std::string_view name_of(Cipher cipher);
std::optional<Cipher> cipher_of(std::string_view name);

/// The values are those of raymesh.raystream.v1.ErrorCode.
enum class ErrorCode : uint8_t {
  kNone = 0,
  kUnauthorized = 1,
  kForbidden = 2,
  kNotFound = 3,
  kInvalidRequest = 4,
  kPermissionDenied = 5,
  kConflict = 6,
  kRateLimited = 7,
  kInternalError = 8,
  kServiceUnavailable = 9,
  kTimeout = 10,
  kOutcomeUnknown = 11,
  kSessionExpired = 12,
  kDecryptionFailed = 13,
  kInvalidNonce = 14,
};
/// "INVALID_NONCE".
std::string_view name_of(ErrorCode code);

/// Why a frame is not accepted: what to CLOSE with, and a sentence for the log (a literal, so that
/// refusing costs nothing). A refused frame ends its connection.
struct [[nodiscard]] Refusal {
  ErrorCode code = ErrorCode::kNone;
  std::string_view why;

  explicit operator bool() const { return code != ErrorCode::kNone; }
};

}  // namespace raymesh::raystream
