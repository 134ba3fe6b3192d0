#include "libs/net/websocket/message_assembler.hpp"

namespace raymesh::net::websocket {

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
    out.payload = frame.payload;
    if (payload.size() > max_message) {
      error = close_code::kMessageTooBig;
      return Status::kError;
    }
    if (out.is_text && !is_utf8(payload)) {
      error = close_code::kInvalidPayload;
      return Status::kError;
    }
    return Status::kMessage;
  }

  if (!partial_) {
    partial_ = std::make_unique<Partial>();
    partial_->is_text = frame.opcode == Opcode::kText;
  }
  if (payload.size() > max_message - partial_->bytes.size()) {
    error = close_code::kMessageTooBig;
    return Status::kError;
  }
  if (partial_->is_text &&
      (!partial_->utf8.feed(payload) || (frame.fin && !partial_->utf8.complete()))) {
    error = close_code::kInvalidPayload;
    return Status::kError;
  }
  partial_->bytes.append(payload);
  if (!frame.fin) return Status::kIncomplete;
  partial_->done = true;
  out.is_text = partial_->is_text;
  out.payload = std::span<char>(partial_->bytes);
  return Status::kMessage;
}

}  // namespace raymesh::net::websocket
