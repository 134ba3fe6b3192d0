#include "libs/net/websocket/message_assembler.hpp"

namespace raymesh::net::websocket {
namespace {

size_t most_bytes(size_t max_message, bool compressed) {
  return compressed ? max_compressed_bytes(max_message) : max_message;
}

}  // namespace

MessageAssembler::Status MessageAssembler::add(const Frame& frame, size_t max_message, Message& out,
                                               uint16_t& error) {
  release();
  const bool continues = frame.opcode == Opcode::kContinuation;
  if (continues != (partial_ != nullptr)) {
    error = close_code::kProtocolError;
    return Status::kError;
  }
  const std::string_view payload(frame.payload.data(), frame.payload.size());

  if (!continues && frame.fin) {
    out.is_text = frame.opcode == Opcode::kText;
    out.is_compressed = frame.compressed;
    out.payload = frame.payload;
    if (payload.size() > most_bytes(max_message, frame.compressed)) {
      error = close_code::kMessageTooBig;
      return Status::kError;
    }
    if (out.is_text && !out.is_compressed && !is_utf8(payload)) {
      error = close_code::kInvalidPayload;
      return Status::kError;
    }
    return Status::kMessage;
  }

  if (!partial_) {
    partial_ = std::make_unique<Partial>();
    partial_->is_text = frame.opcode == Opcode::kText;
    partial_->is_compressed = frame.compressed;
  }
  if (payload.size() > most_bytes(max_message, partial_->is_compressed) - partial_->bytes.size()) {
    error = close_code::kMessageTooBig;
    return Status::kError;
  }
  if (partial_->is_text && !partial_->is_compressed &&
      (!partial_->utf8.feed(payload) || (frame.fin && !partial_->utf8.complete()))) {
    error = close_code::kInvalidPayload;
    return Status::kError;
  }
  partial_->bytes.append(payload);
  if (!frame.fin) return Status::kIncomplete;
  partial_->done = true;
  out.is_text = partial_->is_text;
  out.is_compressed = partial_->is_compressed;
  out.payload = std::span<char>(partial_->bytes);
  return Status::kMessage;
}

}  // namespace raymesh::net::websocket
