#include "tests/support/raystream_client.hpp"

#include <stdexcept>

#include "libs/raystream/frame.hpp"
#include "libs/raystream/plain_frame.hpp"

namespace raymesh::testing {

using raystream::FrameType;

RaystreamClient::RaystreamClient(Transport transport, int port, int receive_buffer)
    : transport_(transport),
      socket_(transport == Transport::kWebSocket
                  ? WsClient::open(port, "/raystream", receive_buffer)
                  : WsClient(port, receive_buffer)) {
  socket_.deadline = std::chrono::seconds(30);
}

std::string RaystreamClient::init(raystream::ClientOptions options,
                                  const raystream::Resumption* resume) {
  handshake_.emplace(std::move(options));
  raystream::OutgoingBuffer out;
  handshake_->start(resume, out);
  return std::string(out.bytes());
}

bool RaystreamClient::shake_hands(raystream::ClientOptions options) {
  send_frame(init(std::move(options)));
  return read_response();
}

bool RaystreamClient::read_response() {
  const auto frame = receive_frame();
  if (!frame) return false;
  const raystream::Refusal refusal = handshake_->read(*frame, session_);
  if (const auto* close = handshake_->refused_by_server()) closed = *close;
  return !refusal;
}

void RaystreamClient::send_frame(std::string_view frame) {
  if (transport_ == Transport::kWebSocket)
    socket_.send(WsClient::Opcode::kBinary, frame);
  else
    socket_.send_raw(frame);
}

std::string RaystreamClient::seal(FrameType type, std::string_view payload) {
  raystream::OutgoingBuffer out;
  if (session_.seal(type, payload, out) != raystream::Sent::kOk)
    throw std::runtime_error("the client may not send this now");
  return std::string(out.bytes());
}

void RaystreamClient::send(FrameType type, std::string_view payload) {
  send_frame(seal(type, payload));
}

void RaystreamClient::call(uint64_t id, const std::string& method, const std::string& args,
                           bool more) {
  raymesh::raystream::v1::RpcCall call;
  call.set_call_id(id);
  call.set_method(method);
  call.set_args(args);
  call.set_more(more);
  send(FrameType::kRpcCall, call.SerializeAsString());
}

std::optional<std::string> RaystreamClient::receive_frame() {
  if (transport_ == Transport::kWebSocket) {
    auto frame = socket_.receive();
    if (!frame) return std::nullopt;
    if (frame->opcode == WsClient::Opcode::kClose) {
      if (frame->payload.size() >= 2)
        websocket_code =
            static_cast<uint8_t>(frame->payload[0]) << 8 | static_cast<uint8_t>(frame->payload[1]);
      return std::nullopt;
    }
    return frame->payload;
  }
  auto size = [&]() -> size_t {
    if (in_.size() < raystream::kHeaderBytes) return raystream::kHeaderBytes;
    size_t payload = 0;
    for (size_t i = 8; i < 12; ++i) payload = payload << 8 | static_cast<uint8_t>(in_[i]);
    return payload + raystream::kFrameOverhead;
  };
  while (in_.size() < size()) {
    try {
      in_ += socket_.receive_raw();
    } catch (const std::runtime_error& error) {
      if (std::string_view(error.what()).starts_with("nothing came")) throw;
      return std::nullopt;
    }
  }
  std::string frame = in_.substr(0, size());
  in_.erase(0, frame.size());
  return frame;
}

std::optional<RaystreamClient::Received> RaystreamClient::receive() {
  auto frame = receive_frame();
  if (!frame) return std::nullopt;
  if (session_.closed()) {
    Received received{static_cast<FrameType>((*frame)[1]),
                      std::string(raystream::payload_of(std::string_view(*frame))), true};
    if (received.type == FrameType::kClose) closed = raystream::read_close(received.payload);
    return received;
  }
  raystream::Incoming in;
  const raystream::Refusal refusal = session_.open(*frame, in);
  if (refusal)
    throw std::runtime_error("the server's frame is refused: " + std::string(refusal.why));
  Received received{in.type, std::string(in.payload.data(), in.payload.size())};
  if (received.type == FrameType::kClose) closed = raystream::read_close(received.payload);
  return received;
}

raystream::ErrorCode RaystreamClient::receive_close() {
  while (receive()) {
  }
  return closed ? closed->code : raystream::ErrorCode::kNone;
}

raymesh::raystream::v1::RpcError RaystreamClient::receive_error() {
  const auto received = receive();
  if (!received || received->type != FrameType::kRpcError)
    throw std::runtime_error("no RPC_ERROR came");
  raymesh::raystream::v1::RpcError error;
  if (!error.ParseFromString(received->payload)) throw std::runtime_error("no RpcError");
  return error;
}

}  // namespace raymesh::testing
