#include "libs/rpc/grpc_wire.hpp"

#include <algorithm>
#include <charconv>

#include "libs/base/encoding.hpp"
#include "libs/rpc/error_wire.hpp"
#include "raymesh/common/v1/calls.pb.h"

namespace raymesh::rpc::grpc_wire {
namespace {

// gRPC's clients take 8 KiB of trailers by default; the message is in there twice.
constexpr size_t kMaxMessage = 1'024;

// Everything but printable ASCII, and '%' itself.
std::string percent_encode(std::string_view text) {
  static constexpr char kHex[] = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    if (c >= 0x20 && c < 0x7f && c != '%') {
      out += c;
      continue;
    }
    const auto byte = static_cast<unsigned char>(c);
    out += '%';
    out += kHex[byte >> 4];
    out += kHex[byte & 15];
  }
  return out;
}

// Not in the middle of a character (RFC 3629).
std::string cut(const std::string& text) {
  if (text.size() <= kMaxMessage) return text;
  size_t end = kMaxMessage;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;
  return text.substr(0, end) + "...";
}

}  // namespace

Prefix parse_prefix(const char* bytes) {
  const auto* b = reinterpret_cast<const unsigned char*>(bytes);
  return {b[0] != 0, static_cast<uint32_t>(b[1]) << 24 | static_cast<uint32_t>(b[2]) << 16 |
                         static_cast<uint32_t>(b[3]) << 8 | b[4]};
}

void append_prefix(std::string& out, size_t message_size) {
  const auto size = static_cast<uint32_t>(message_size);
  const char bytes[kPrefixBytes] = {0, static_cast<char>(size >> 24), static_cast<char>(size >> 16),
                                    static_cast<char>(size >> 8), static_cast<char>(size)};
  out.append(bytes, sizeof bytes);
}

std::optional<std::chrono::nanoseconds> parse_timeout(std::string_view text) {
  constexpr size_t kMaxDigits = 8;
  constexpr int64_t kMaxHours = 1'000'000;  // fits into 64 bits of nanoseconds
  if (text.size() < 2 || text.size() > kMaxDigits + 1) return std::nullopt;
  int64_t value = 0;
  const char* end = text.data() + text.size() - 1;
  if (const auto [at, ec] = std::from_chars(text.data(), end, value);
      ec != std::errc() || at != end || value < 0)
    return std::nullopt;
  switch (text.back()) {
    case 'H':
      return std::chrono::hours(std::min(value, kMaxHours));
    case 'M':
      return std::chrono::minutes(value);
    case 'S':
      return std::chrono::seconds(value);
    case 'm':
      return std::chrono::milliseconds(value);
    case 'u':
      return std::chrono::microseconds(value);
    case 'n':
      return std::chrono::nanoseconds(value);
    default:
      return std::nullopt;
  }
}

const Headers& answer_headers() {
  static const Headers kHeaders{{":status", "200"},
                                {"content-type", "application/grpc"},
                                {"grpc-accept-encoding", "identity"}};
  return kHeaders;
}

Headers ok_trailers() {
  return {{"grpc-status", "0"}};
}

Headers error_trailers(const Error& error) {
  Error shown = error;
  shown.message = cut(error.message);
  return {{"grpc-status", std::to_string(static_cast<int>(error.status()))},
          {"grpc-message", percent_encode(shown.message)},
          {kErrorMetadata, base64_encode(error_to_proto(shown).SerializeAsString())}};
}

Headers error_answer(const Error& error) {
  Headers headers = answer_headers();
  for (Header& trailer : error_trailers(error)) headers.push_back(std::move(trailer));
  return headers;
}

std::optional<Status> parse_status(const Headers& headers) {
  const std::string_view text = find_header(headers, "grpc-status");
  if (text.empty()) return std::nullopt;
  Status status;
  if (std::from_chars(text.data(), text.data() + text.size(), status.code).ec != std::errc())
    status.code = static_cast<int>(StatusCode::kUnknown);
  const std::string_view message = find_header(headers, "grpc-message");
  status.message = percent_decode(message).value_or(std::string(message));
  return status;
}

}  // namespace raymesh::rpc::grpc_wire
