// The WebSocket codec and what stands behind it: any bytes from a client, cut anywhere, must parse
// the same as in one piece, never read outside the buffer, and give only messages that keep the
// protocol's promises (UTF-8 text, the bound, JSON that is JSON).
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "libs/base/encoding.hpp"
#include "libs/net/websocket/frame.hpp"
#include "libs/net/websocket/message_assembler.hpp"
#include "libs/net/websocket/upgrade.hpp"
#include "services/realtime/client_message.hpp"

namespace {

namespace ws = raymesh::net::websocket;

constexpr size_t kMaxMessage = 4'096;

void require(bool condition) {
  if (!condition) std::abort();
}

/// What a connection would make of the bytes: messages, control frames, and how it ends.
struct Outcome {
  std::vector<std::string> events;
  uint16_t error = 0;
  bool operator==(const Outcome&) const = default;
};

/// Feeds the bytes in pieces of `step`, as reads would bring them.
Outcome run(const std::string& bytes, size_t step) {
  Outcome out;
  ws::MessageAssembler assembler;
  std::string pending;
  for (size_t at = 0; at < bytes.size() && out.error == 0; at += step) {
    pending += bytes.substr(at, step);
    // An exact allocation, so that the sanitizer sees one byte too far.
    std::vector<char> exact(pending.begin(), pending.end());
    size_t used = 0;
    while (out.error == 0) {
      ws::Frame frame;
      const auto result =
          ws::parse_client_frame(std::span<char>(exact).subspan(used), kMaxMessage, frame);
      if (result.status == ws::ParseStatus::kNeedMore) {
        require(result.bytes > exact.size() - used);
        require(result.bytes <= kMaxMessage + ws::kMaxClientHeader);
        break;
      }
      if (result.status == ws::ParseStatus::kError) {
        out.error = result.error;
        break;
      }
      used += result.bytes;
      const std::string payload(frame.payload.data(), frame.payload.size());
      if (ws::is_control(frame.opcode)) {
        require(frame.fin && payload.size() <= ws::kMaxControlPayload);
        ws::ClosePayload close;
        if (frame.opcode == ws::Opcode::kClose) out.error = ws::parse_close_payload(payload, close);
        out.events.push_back("control " + payload);
        continue;
      }
      ws::MessageAssembler::Message message;
      const auto status = assembler.add(frame, kMaxMessage, message, out.error);
      if (status == ws::MessageAssembler::Status::kMessage) {
        const std::string text(message.payload.data(), message.payload.size());
        require(text.size() <= kMaxMessage);
        require(!message.is_text || raymesh::is_valid_utf8(text));
        out.events.push_back((message.is_text ? "text " : "binary ") + text);
      }
    }
    pending.erase(0, used);
  }
  // A text that fails in its first fragment fails there whatever comes: so does every way of
  // cutting.
  return out;
}

void check_client_message(const std::string& text) {
  static raymesh::realtime::ClientMessageParser parser;
  raymesh::realtime::ClientMessageParser::Message publish;
  if (!parser.parse(text, publish)) return;
  require(parser.json_value(publish.payload) == publish.payload);
  require(raymesh::is_valid_utf8(publish.channel));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string bytes(reinterpret_cast<const char*>(data), size);
  const Outcome whole = run(bytes, bytes.size() + 1);
  require(run(bytes, 1) == whole);
  require(run(bytes, 7) == whole);
  for (const auto& event : whole.events) check_client_message(event.substr(event.find(' ') + 1));
  check_client_message(bytes);
  if (ws::find_head_end(bytes, 0) != std::string::npos) {
    auto request = ws::parse_upgrade(bytes);
    if (request.ok() && !request->key.empty()) require(ws::accept_value(request->key).size() == 28);
    if (request.ok()) (void)ws::query_value(request->query, "token");
  }
  return 0;
}
