// permessage-deflate, from the offer to the opened message. Any header is answered by rules of RFC
// 7692 or not at all; any payload opens to what zlib makes of it, within the bound, or is refused,
// and leaves nothing behind for the next one; what we compress opens again; and frames give the
// same messages wherever reads cut them.
#include <zlib.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string>
#include <vector>

#include "libs/base/encoding.hpp"
#include "libs/net/websocket/deflate_offer.hpp"
#include "libs/net/websocket/message_deflater.hpp"
#include "libs/net/websocket/message_inflater.hpp"

namespace {

namespace ws = raymesh::net::websocket;

constexpr size_t kMaxMessage = 4'096;

void require(bool condition) {
  if (!condition) std::abort();
}

void check_offer(const std::string& header) {
  const auto got = ws::answer_deflate(header);
  require((got.decision == ws::DeflateDecision::kAccepted) == !got.answer.empty());
  // Another offer behind it changes neither what was accepted nor that the header was malformed.
  const auto more = ws::answer_deflate(header + ", permessage-deflate");
  if (got.decision == ws::DeflateDecision::kDeclined) {
    require(more.decision == ws::DeflateDecision::kAccepted);
  } else if (got.decision == ws::DeflateDecision::kAccepted) {
    require(more.answer == got.answer);
  }
  if (got.answer.empty()) return;
  require(header.find("permessage-deflate") != std::string::npos);
  // The answer is an offer that would be answered by itself, and asks for what all share.
  require(ws::answer_deflate(got.answer).answer == got.answer);
  require(got.answer.find("server_no_context_takeover") != std::string_view::npos);
  require(got.answer.find("client_no_context_takeover") != std::string_view::npos);
  require(got.answer.find("client_max_window_bits") == std::string_view::npos);
  if (got.answer.find("server_max_window_bits") != std::string_view::npos)
    require(header.find("server_max_window_bits") != std::string::npos);
}

struct Opened {
  uint16_t error = 0;
  std::string payload;
  bool operator==(const Opened&) const = default;
};

Opened open_with(ws::MessageInflater& inflater, const std::string& in, bool is_text) {
  // On the heap at its exact size, so that AddressSanitizer sees a read beyond it.
  std::vector<char> exact(in.begin(), in.end());
  ws::MessageAssembler::Message message{is_text, true, std::span<char>(exact)};
  Opened out;
  out.error = inflater.open(message, kMaxMessage);
  require(out.error == 0 || out.error == 1007 || out.error == 1009);
  if (out.error == 0) out.payload.assign(message.payload.data(), message.payload.size());
  return out;
}

/// Section 7.2.2 word for word: the four bytes appended, then zlib. As far as kMaxMessage + 1.
std::optional<std::string> as_the_rfc_says(std::string in) {
  in += std::string("\x00\x00\xff\xff", 4);
  std::string out(kMaxMessage + 1, '\0');
  z_stream stream{};
  require(inflateInit2(&stream, -15) == Z_OK);
  stream.next_in = reinterpret_cast<Bytef*>(in.data());
  stream.avail_in = static_cast<uInt>(in.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  int result = Z_OK;
  while (stream.avail_in > 0 && stream.avail_out > 0 && result == Z_OK) {
    result = inflate(&stream, Z_SYNC_FLUSH);
    if (result == Z_STREAM_END) result = inflateReset(&stream);
  }
  out.resize(out.size() - stream.avail_out);
  inflateEnd(&stream);
  if (result != Z_OK) return std::nullopt;
  return out;
}

void check_payload(const std::string& in) {
  static ws::MessageInflater used;
  ws::MessageInflater fresh;
  const Opened binary = open_with(used, in, false);
  require(open_with(fresh, in, false) == binary);
  const Opened text = open_with(used, in, true);
  const auto expected = as_the_rfc_says(in);
  if (binary.error == 0) {
    require(binary.payload.size() <= kMaxMessage);
    require(expected && *expected == binary.payload);
    require((text.error == 0) == raymesh::is_valid_utf8(binary.payload));
  } else {
    require(text.error == binary.error);
    if (binary.error == 1009) require(!expected || expected->size() > kMaxMessage);
  }
}

void check_round_trip(const std::string& message) {
  static ws::MessageDeflater fast({.level = 1, .min_bytes = 0});
  static ws::MessageDeflater small({.level = 9, .min_bytes = 0});
  static ws::MessageInflater inflater;
  if (message.size() > kMaxMessage) return;
  for (auto* deflater : {&fast, &small}) {
    const std::string frame(deflater->frame(ws::Opcode::kBinary, message));
    if (frame.empty()) continue;
    require(ws::server_frame_bytes(frame.data()) == frame.size());
    require(frame.size() < message.size() + ws::server_header_bytes(message.size()));
    const size_t header = frame[1] == 126 ? 4 : 2;
    const Opened got = open_with(inflater, frame.substr(header), false);
    require(got.error == 0 && got.payload == message);
  }
}

/// What a connection would make of the bytes, read in pieces of `step`.
std::vector<std::string> run(const std::string& bytes, size_t step) {
  std::vector<std::string> out;
  static ws::MessageInflater inflater;
  ws::MessageAssembler assembler;
  std::string pending;
  uint16_t error = 0;
  for (size_t at = 0; at < bytes.size() && error == 0; at += step) {
    pending += bytes.substr(at, step);
    std::vector<char> exact(pending.begin(), pending.end());
    size_t parsed = 0;
    while (error == 0) {
      ws::Frame frame;
      const auto result = ws::parse_client_frame(std::span<char>(exact).subspan(parsed),
                                                 kMaxMessage, frame, ws::Rsv1::kCompressed);
      error = result.error;
      if (result.status != ws::ParseStatus::kFrame) break;
      parsed += result.bytes;
      require(!frame.compressed || frame.opcode == ws::Opcode::kText ||
              frame.opcode == ws::Opcode::kBinary);
      if (ws::is_control(frame.opcode)) continue;
      ws::MessageAssembler::Message message;
      if (assembler.add(frame, kMaxMessage, message, error) !=
          ws::MessageAssembler::Status::kMessage) {
        require(assembler.buffered() <= ws::max_compressed_bytes(kMaxMessage));
        continue;
      }
      error = inflater.open(message, kMaxMessage);
      if (error != 0) break;
      out.emplace_back(message.payload.data(), message.payload.size());
      require(out.back().size() <= kMaxMessage);
      require(!message.is_text || raymesh::is_valid_utf8(out.back()));
      assembler.release();
    }
    pending.erase(0, parsed);
  }
  out.push_back(std::to_string(error));
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string bytes(reinterpret_cast<const char*>(data), size);
  check_offer(bytes);
  check_payload(bytes);
  check_round_trip(bytes);
  const auto whole = run(bytes, bytes.size() + 1);
  require(run(bytes, 1) == whole);
  require(run(bytes, 7) == whole);
  return 0;
}
