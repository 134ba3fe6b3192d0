#include "libs/raystream/protocol.hpp"

#include "raymesh/raystream/v1/raystream.pb.h"

namespace raymesh::raystream {

static_assert(static_cast<int>(ErrorCode::kNone) == v1::ERROR_CODE_UNSPECIFIED &&
              static_cast<int>(ErrorCode::kUnauthorized) == v1::UNAUTHORIZED &&
              static_cast<int>(ErrorCode::kForbidden) == v1::FORBIDDEN &&
              static_cast<int>(ErrorCode::kNotFound) == v1::NOT_FOUND &&
              static_cast<int>(ErrorCode::kInvalidRequest) == v1::INVALID_REQUEST &&
              static_cast<int>(ErrorCode::kPermissionDenied) == v1::PERMISSION_DENIED &&
              static_cast<int>(ErrorCode::kConflict) == v1::CONFLICT &&
              static_cast<int>(ErrorCode::kRateLimited) == v1::RATE_LIMITED &&
              static_cast<int>(ErrorCode::kInternalError) == v1::INTERNAL_ERROR &&
              static_cast<int>(ErrorCode::kServiceUnavailable) == v1::SERVICE_UNAVAILABLE &&
              static_cast<int>(ErrorCode::kTimeout) == v1::TIMEOUT &&
              static_cast<int>(ErrorCode::kOutcomeUnknown) == v1::OUTCOME_UNKNOWN &&
              static_cast<int>(ErrorCode::kSessionExpired) == v1::SESSION_EXPIRED &&
              static_cast<int>(ErrorCode::kDecryptionFailed) == v1::DECRYPTION_FAILED &&
              static_cast<int>(ErrorCode::kInvalidNonce) == v1::INVALID_NONCE &&
              v1::ErrorCode_MAX == v1::INVALID_NONCE);

std::string_view name_of(FrameType type) {
  switch (type) {
    case FrameType::kHandshakeInit:
      return "HANDSHAKE_INIT";
    case FrameType::kHandshakeResponse:
      return "HANDSHAKE_RESPONSE";
    case FrameType::kResume:
      return "RESUME";
    case FrameType::kRpcCall:
      return "RPC_CALL";
    case FrameType::kRpcResponse:
      return "RPC_RESPONSE";
    case FrameType::kRpcError:
      return "RPC_ERROR";
    case FrameType::kSubscribe:
      return "SUBSCRIBE";
    case FrameType::kEvent:
      return "EVENT";
    case FrameType::kHeartbeat:
      return "HEARTBEAT";
    case FrameType::kClose:
      return "CLOSE";
  }
  return "unknown";
}

std::string_view name_of(Cipher cipher) {
  return cipher == Cipher::kChaCha20Poly1305 ? "chacha20-poly1305" : "aes-256-gcm";
}

std::optional<Cipher> cipher_of(std::string_view name) {
  for (const Cipher cipher : {Cipher::kChaCha20Poly1305, Cipher::kAes256Gcm})
    if (name == name_of(cipher)) return cipher;
  return std::nullopt;
}

std::string_view name_of(ErrorCode code) {
  switch (code) {
    case ErrorCode::kNone:
      return "none";
    case ErrorCode::kUnauthorized:
      return "UNAUTHORIZED";
    case ErrorCode::kForbidden:
      return "FORBIDDEN";
    case ErrorCode::kNotFound:
      return "NOT_FOUND";
    case ErrorCode::kInvalidRequest:
      return "INVALID_REQUEST";
    case ErrorCode::kPermissionDenied:
      return "PERMISSION_DENIED";
    case ErrorCode::kConflict:
      return "CONFLICT";
    case ErrorCode::kRateLimited:
      return "RATE_LIMITED";
    case ErrorCode::kInternalError:
      return "INTERNAL_ERROR";
    case ErrorCode::kServiceUnavailable:
      return "SERVICE_UNAVAILABLE";
    case ErrorCode::kTimeout:
      return "TIMEOUT";
    case ErrorCode::kOutcomeUnknown:
      return "OUTCOME_UNKNOWN";
    case ErrorCode::kSessionExpired:
      return "SESSION_EXPIRED";
    case ErrorCode::kDecryptionFailed:
      return "DECRYPTION_FAILED";
    case ErrorCode::kInvalidNonce:
      return "INVALID_NONCE";
  }
  return "unknown";
}

}  // namespace raymesh::raystream
