// SHA1(), which is not deprecated, looks its method up anew for each short text.
#define OPENSSL_SUPPRESS_DEPRECATED
#include "libs/net/websocket/upgrade.hpp"

#include <openssl/sha.h>

#include <boost/beast/http/status.hpp>

#include "libs/base/encoding.hpp"
#include "libs/base/json_writer.hpp"
#include "libs/net/http_request.hpp"

namespace raymesh::net::websocket {
namespace {

constexpr std::string_view kGuid = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Section 4.1 item 7: base64 of 16 bytes, so 22 characters and two of padding.
bool is_valid_key(std::string_view key) {
  if (key.size() != 24 || key.substr(22) != "==") return false;
  for (const char c : key.substr(0, 22)) {
    const bool letter = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
    if (!letter && c != '+' && c != '/') return false;
  }
  return true;
}

}  // namespace

size_t find_head_end(std::string_view bytes, size_t searched) {
  const size_t at = bytes.find("\r\n\r\n", searched > 3 ? searched - 3 : 0);
  return at == std::string_view::npos ? at : at + 4;
}

Result<UpgradeRequest> parse_upgrade(std::string_view head) {
  RequestParser parser(HeadLimits{.max_bytes = head.size() + 1});
  RequestHead request;
  if (parser.parse(head, request) != HeadState::kComplete)
    return Error(errors::kMalformedHttp,
                 "the request head is not valid HTTP/1.1: " + std::string(parser.reason()));
  UpgradeRequest out;
  const size_t question = request.target.find('?');
  out.path = std::string(request.target.substr(0, question));
  if (question != std::string_view::npos)
    out.query = std::string(request.target.substr(question + 1));
  if (const auto key = request.field("Sec-WebSocket-Key"); is_valid_key(key)) out.key = key;
  out.origin = request.field("Origin");
  out.protocols = request.field("Sec-WebSocket-Protocol");
  for (const auto& [name, value] : request.fields) {
    if (!equals_ignoring_case(name, "Sec-WebSocket-Extensions")) continue;
    if (!out.extensions.empty()) out.extensions += ", ";
    out.extensions += value;
  }
  out.last_event_id = request.field("Last-Event-ID");
  if (request.field("Sec-WebSocket-Version") == "13") out.version = 13;
  out.is_get = request.method == "GET";
  out.is_upgrade = request.method == "GET" && request.http_1_1 && request.upgrade &&
                   request.has_token("Upgrade", "websocket");
  out.has_body = request.chunked || request.content_length > 0;
  return out;
}

std::vector<std::string> query_values(std::string_view query, std::string_view name) {
  std::vector<std::string> out;
  while (!query.empty()) {
    const size_t end = query.find('&');
    const std::string_view pair = query.substr(0, end);
    const size_t equals = pair.find('=');
    if (pair.substr(0, equals) == name && equals != std::string_view::npos)
      if (auto value = percent_decode(pair.substr(equals + 1))) out.push_back(*std::move(value));
    query = end == std::string_view::npos ? std::string_view() : query.substr(end + 1);
  }
  return out;
}

std::string query_value(std::string_view query, std::string_view name) {
  auto values = query_values(query, name);
  return values.empty() ? std::string() : std::move(values.front());
}

bool has_protocol(std::string_view protocols, std::string_view name) {
  while (!protocols.empty()) {
    const size_t comma = protocols.find(',');
    std::string_view one = protocols.substr(0, comma);
    while (!one.empty() && (one.front() == ' ' || one.front() == '\t')) one.remove_prefix(1);
    while (!one.empty() && (one.back() == ' ' || one.back() == '\t')) one.remove_suffix(1);
    if (one == name) return true;
    protocols = comma == std::string_view::npos ? std::string_view() : protocols.substr(comma + 1);
  }
  return false;
}

std::string accept_value(std::string_view key) {
  SHA_CTX hash;
  unsigned char digest[SHA_DIGEST_LENGTH];
  SHA1_Init(&hash);
  SHA1_Update(&hash, key.data(), key.size());
  SHA1_Update(&hash, kGuid.data(), kGuid.size());
  SHA1_Final(digest, &hash);
  return base64_encode({reinterpret_cast<const char*>(digest), sizeof digest});
}

std::string accept_response(std::string_view key, std::string_view protocol,
                            std::string_view extensions) {
  std::string out =
      "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
      "Sec-WebSocket-Accept: ";
  out += accept_value(key);
  out += "\r\n";
  if (!protocol.empty()) ((out += "Sec-WebSocket-Protocol: ") += protocol) += "\r\n";
  if (!extensions.empty()) ((out += "Sec-WebSocket-Extensions: ") += extensions) += "\r\n";
  out += "\r\n";
  return out;
}

std::string refuse_response(int status, const Error& error, std::string_view extra_headers) {
  std::string body;
  json::Object object(body);
  object.string("error", error.message);
  object.string("code", error.code());
  object.end();
  const auto reason =
      boost::beast::http::obsolete_reason(static_cast<boost::beast::http::status>(status));
  std::string out = "HTTP/1.1 " + std::to_string(status) + " ";
  out.append(reason.data(), reason.size());
  out += "\r\nContent-Type: application/json\r\nConnection: close\r\n";
  out += extra_headers;
  out += "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n";
  out += body;
  return out;
}

}  // namespace raymesh::net::websocket
