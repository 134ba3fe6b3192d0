// The part of RaystreamSession that finds its frames in a WebSocket's messages, one in each.
#include "libs/net/websocket/frame.hpp"
#include "services/gateway/core.hpp"
#include "services/gateway/raystream_session.hpp"

namespace raymesh::gateway {

using raystream::ErrorCode;
namespace websocket = net::websocket;

namespace {

// Memory that an idle connection keeps for what comes next.
constexpr size_t kKeepInput = 4 << 10;

}  // namespace

// Counts what incomplete messages hold. False: the budget has no room.
bool RaystreamSession::hold(size_t bytes) {
  if (bytes > held_ && !budget_->take(bytes - held_)) return false;
  if (bytes < held_) budget_->give_back(held_ - bytes);
  held_ = bytes;
  return true;
}

void RaystreamSession::take_websocket(std::span<char> bytes) {
  const bool kept = !in_.empty();
  if (kept) {
    in_.append(bytes.data(), bytes.size());
    bytes = {in_.data(), in_.size()};
  }
  size_t used = 0;
  while (state_ == State::kOpen) {
    websocket::Frame frame;
    const auto parsed = websocket::parse_client_frame(
        bytes.subspan(used), expected().max_payload + raystream::kFrameOverhead, frame);
    if (parsed.status == websocket::ParseStatus::kNeedMore) break;
    if (parsed.status == websocket::ParseStatus::kError)
      return close(ErrorCode::kInvalidRequest, "not a message that may come now", parsed.error);
    used += parsed.bytes;
    if (!take_websocket_frame(frame)) return;
  }
  if (state_ != State::kOpen) return;
  if (kept) {
    in_.erase(0, used);
    // What a large frame needed does not stay for the beginning of a small one.
    if (in_.capacity() > kKeepInput && in_.size() <= in_.capacity() / 4) in_.shrink_to_fit();
  } else {
    in_.assign(bytes.data() + used, bytes.size() - used);
  }
  if (!hold((in_.empty() ? 0 : in_.capacity()) + assembler_.buffered()))
    close(ErrorCode::kServiceUnavailable, "too many bytes of incomplete frames");
}

// False: the session has ended, or is about to.
bool RaystreamSession::take_websocket_frame(websocket::Frame& frame) {
  switch (frame.opcode) {
    case websocket::Opcode::kPing: {
      std::string pong;
      websocket::append_server_frame(pong, websocket::Opcode::kPong,
                                     {frame.payload.data(), frame.payload.size()});
      out_.append(pong);
      // Who only pings and does not read is not written for without an end.
      if (out_.size() <= core().config.raystream.max_queued) return true;
      core().raystream_probe.slow_reader();
      end();
      return false;
    }
    case websocket::Opcode::kPong:
      return true;
    case websocket::Opcode::kClose:
      // The stream's end without CLOSE; RFC 6455 section 5.5.1 wants an answer.
      out_.append(websocket::close_frame(websocket::close_code::kNormal, {}));
      core().raystream_probe.dropped();
      begin_closing();
      return false;
    default:
      break;
  }
  websocket::MessageAssembler::Message message;
  uint16_t error = 0;
  switch (
      assembler_.add(frame, expected().max_payload + raystream::kFrameOverhead, message, error)) {
    case websocket::MessageAssembler::Status::kIncomplete:
      return true;
    case websocket::MessageAssembler::Status::kError:
      close(ErrorCode::kInvalidRequest, "not a message that may come now", error);
      return false;
    case websocket::MessageAssembler::Status::kMessage:
      break;
  }
  if (message.is_text) {
    close(ErrorCode::kInvalidRequest, "a text message; frames are binary",
          websocket::close_code::kUnsupportedData);
    return false;
  }
  take_frame(message.payload);
  assembler_.release();
  return state_ == State::kOpen;
}

}  // namespace raymesh::gateway
