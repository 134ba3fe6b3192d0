#include "libs/raystream/session.hpp"

#include <google/protobuf/message_lite.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "libs/raystream/plain_frame.hpp"

namespace raymesh::raystream {
namespace {

// A forked child finds its parent's secrets as zeros (SecretArena). Better no child than one that
// speaks under a key that everybody knows.
void require_key(const crypto::Secret32& key) {
  if (!key.is_zero()) return;
  std::fputs("raymesh: a session was used in a forked process\n", stderr);
  std::abort();
}

}  // namespace

FrameTypes types_from_client(Phase phase) {
  switch (phase) {
    case Phase::kOpen:
      return bit(FrameType::kRpcCall) | bit(FrameType::kHeartbeat) | bit(FrameType::kClose);
    case Phase::kResuming:
      return bit(FrameType::kResume) | bit(FrameType::kClose);
    case Phase::kResumePending:
      return bit(FrameType::kClose);
    case Phase::kAttached:
      return bit(FrameType::kRpcCall) | bit(FrameType::kSubscribe) | bit(FrameType::kHeartbeat) |
             bit(FrameType::kClose);
    case Phase::kClosed:
      return 0;
  }
  return 0;
}

FrameTypes types_from_server(Phase phase) {
  switch (phase) {
    case Phase::kOpen:
      return bit(FrameType::kRpcResponse) | bit(FrameType::kRpcError) | bit(FrameType::kHeartbeat) |
             bit(FrameType::kClose);
    case Phase::kResuming:
      return bit(FrameType::kClose);
    case Phase::kResumePending:
      return bit(FrameType::kResume) | bit(FrameType::kClose);
    case Phase::kAttached:
      return bit(FrameType::kRpcResponse) | bit(FrameType::kRpcError) | bit(FrameType::kEvent) |
             bit(FrameType::kHeartbeat) | bit(FrameType::kClose);
    case Phase::kClosed:
      return 0;
  }
  return 0;
}

Session::Session(Role role, Phase phase, Cipher cipher, std::string_view id,
                 crypto::Locked<SessionKeys> keys)
    : keys_(std::move(keys)), role_(role), phase_(phase), cipher_(cipher) {
  std::copy_n(id.begin(), std::min(id.size(), id_.size()), id_.begin());
}

Session::Session(Session&& other) noexcept
    : keys_(std::move(other.keys_)),
      outgoing_(other.outgoing_),
      incoming_(other.incoming_),
      id_(other.id_),
      role_(other.role_),
      phase_(std::exchange(other.phase_, Phase::kClosed)),
      cipher_(other.cipher_),
      deaf_(other.deaf_) {}

Session& Session::operator=(Session&& other) noexcept {
  if (this == &other) return *this;
  keys_ = std::move(other.keys_);
  outgoing_ = other.outgoing_;
  incoming_ = other.incoming_;
  id_ = other.id_;
  role_ = other.role_;
  phase_ = std::exchange(other.phase_, Phase::kClosed);
  cipher_ = other.cipher_;
  deaf_ = other.deaf_;
  return *this;
}

std::string_view Session::resumption_secret() const {
  return keys_ ? keys_->resumption.view() : std::string_view();
}

DirectionKeys& Session::outgoing_keys() const {
  return role_ == Role::kClient ? keys_->client_to_server : keys_->server_to_client;
}

DirectionKeys& Session::incoming_keys() const {
  return role_ == Role::kClient ? keys_->server_to_client : keys_->client_to_server;
}

uint32_t Session::max_payload() const {
  return phase_ == Phase::kAttached ? kMaxPayload : kMaxUnattachedPayload;
}

Expected Session::expected() const {
  if (deaf_) return {};
  return {.types = role_ == Role::kServer ? types_from_client(phase_) : types_from_server(phase_),
          .max_payload = max_payload(),
          .epoch = incoming_.epoch,
          .sequence = incoming_.sequence};
}

void Session::step(Counter& counter, DirectionKeys& keys) {
  if (counter.sequence < kLastSequence) {
    ++counter.sequence;
    return;
  }
  ++counter.epoch;
  counter.sequence = 1;
  advance_epoch(keys);
}

Refusal Session::fail(Refusal refusal) {
  deaf_ = true;
  if (keys_) {
    incoming_keys().secret.clear();
    incoming_keys().key.clear();
    incoming_keys().expanded.reset();
  }
  return refusal;
}

// RESUME and CLOSE move the session on, whichever end sends them.
void Session::after(FrameType type, bool outgoing) {
  if (type == FrameType::kClose) drop();
  if (type == FrameType::kResume) {
    const bool asked = outgoing == (role_ == Role::kClient);
    phase_ = asked ? Phase::kResumePending : Phase::kAttached;
  }
}

Refusal Session::open(std::span<char> frame, Incoming& out) {
  const std::string_view bytes(frame.data(), frame.size());
  const ParsedFrame parsed = parse_frame(bytes, expected());
  if (parsed.status == ParseStatus::kRefused) return fail(parsed.refusal);
  if (parsed.status == ParseStatus::kNeedMore || parsed.bytes != frame.size())
    return fail({ErrorCode::kInvalidRequest, "not exactly one frame"});
  DirectionKeys& keys = incoming_keys();
  require_key(keys.key);
  const crypto::AeadNonce nonce(frame.data() + kHeaderBytes, kNonceBytes);
  const std::span<char> payload = payload_of(frame);
  if (!crypto::aead_open(cipher_, keys.key, keys.expanded, nonce, bytes.substr(0, kHeaderBytes),
                         payload, tag_of(bytes)))
    return fail({ErrorCode::kDecryptionFailed, "the tag does not fit"});
  step(incoming_, keys);
  out = {parsed.type, payload};
  after(parsed.type, false);
  return {};
}

Sent Session::begin(FrameType type, size_t payload_bytes) const {
  const FrameTypes types =
      role_ == Role::kClient ? types_from_client(phase_) : types_from_server(phase_);
  if ((types & bit(type)) == 0 || (deaf_ && type != FrameType::kClose)) return Sent::kNotNow;
  return payload_bytes > max_payload() ? Sent::kTooLong : Sent::kOk;
}

void Session::seal_in_place(FrameType type, char* frame, size_t payload_bytes) {
  DirectionKeys& keys = outgoing_keys();
  require_key(keys.key);
  write_header(frame, type, outgoing_.sequence, static_cast<uint32_t>(payload_bytes));
  write_nonce(frame + kHeaderBytes, outgoing_.epoch, outgoing_.sequence);
  char* payload = frame + kPayloadOffset;
  crypto::aead_seal(cipher_, keys.key, keys.expanded,
                    crypto::AeadNonce(frame + kHeaderBytes, kNonceBytes), {frame, kHeaderBytes},
                    {payload, payload_bytes},
                    std::span<char, kTagBytes>(payload + payload_bytes, kTagBytes));
  step(outgoing_, keys);
  after(type, true);
}

Sent Session::seal(FrameType type, std::initializer_list<std::string_view> pieces,
                   OutgoingBuffer& out) {
  size_t payload_bytes = 0;
  for (const std::string_view piece : pieces) payload_bytes += piece.size();
  if (const Sent sent = begin(type, payload_bytes); sent != Sent::kOk) return sent;
  char* frame = out.extend(kFrameOverhead + payload_bytes);
  char* at = frame + kPayloadOffset;
  for (const std::string_view piece : pieces) {
    if (!piece.empty()) std::memcpy(at, piece.data(), piece.size());
    at += piece.size();
  }
  seal_in_place(type, frame, payload_bytes);
  return Sent::kOk;
}

Sent Session::seal(FrameType type, const google::protobuf::MessageLite& message,
                   OutgoingBuffer& out) {
  const size_t payload_bytes = message.ByteSizeLong();
  if (const Sent sent = begin(type, payload_bytes); sent != Sent::kOk) return sent;
  char* frame = out.extend(kFrameOverhead + payload_bytes);
  message.SerializeWithCachedSizesToArray(reinterpret_cast<uint8_t*>(frame + kPayloadOffset));
  seal_in_place(type, frame, payload_bytes);
  return Sent::kOk;
}

void Session::attached() {
  if (phase_ == Phase::kOpen) phase_ = Phase::kAttached;
}

void Session::close(ErrorCode code, std::string_view reason, OutgoingBuffer& out) {
  // CLOSE may be sent in every phase but kClosed, in which there are no keys.
  if (!closed()) (void)seal(FrameType::kClose, close_payload(code, reason), out);
  drop();
}

void Session::rest() {
  if (!keys_) return;
  keys_->client_to_server.expanded.reset();
  keys_->server_to_client.expanded.reset();
}

void Session::drop() {
  phase_ = Phase::kClosed;
  keys_.reset();
}

}  // namespace raymesh::raystream
