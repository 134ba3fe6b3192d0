#include "libs/net/websocket/upgrade.hpp"

#include <openssl/sha.h>

#include <boost/asio/buffer.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/rfc7230.hpp>

#include "libs/base/encoding.hpp"
#include "libs/base/json_writer.hpp"

namespace raymesh::net::websocket {
namespace {

namespace http = boost::beast::http;

constexpr std::string_view kGuid = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

std::string_view field(const http::request<http::empty_body>& request, http::field name) {
  const auto value = request[name];
  return {value.data(), value.size()};
}

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
  http::request_parser<http::empty_body> parser;
  parser.header_limit(static_cast<uint32_t>(head.size() + 1));
  parser.skip(true);  // a body is an error that the caller sees, not one that the parser waits for
  boost::beast::error_code ec;
  parser.put(boost::asio::buffer(head.data(), head.size()), ec);
  if (ec || !parser.is_header_done())
    return Error(errors::kMalformedHttp, "the request head is not HTTP/1.1: " + ec.message());

  const auto& request = parser.get();
  UpgradeRequest out;
  out.method = std::string(request.method_string());
  const std::string_view target(request.target().data(), request.target().size());
  const size_t question = target.find('?');
  out.path = std::string(target.substr(0, question));
  if (question != std::string_view::npos) out.query = std::string(target.substr(question + 1));
  const auto key = field(request, http::field::sec_websocket_key);
  if (is_valid_key(key)) out.key = std::string(key);
  out.origin = std::string(field(request, http::field::origin));
  out.protocols = std::string(field(request, http::field::sec_websocket_protocol));
  if (field(request, http::field::sec_websocket_version) == "13") out.version = 13;
  out.is_upgrade = request.version() == 11 && request.method() == http::verb::get &&
                   http::token_list(request[http::field::connection]).exists("upgrade") &&
                   http::token_list(request[http::field::upgrade]).exists("websocket");
  out.has_body = request.chunked() || (request.count(http::field::content_length) > 0 &&
                                       field(request, http::field::content_length) != "0");
  return out;
}

std::string query_value(std::string_view query, std::string_view name) {
  while (!query.empty()) {
    const size_t end = query.find('&');
    const std::string_view pair = query.substr(0, end);
    const size_t equals = pair.find('=');
    if (pair.substr(0, equals) == name) {
      if (equals == std::string_view::npos) return {};
      return percent_decode(pair.substr(equals + 1)).value_or(std::string());
    }
    query = end == std::string_view::npos ? std::string_view() : query.substr(end + 1);
  }
  return {};
}

std::string accept_value(std::string_view key) {
  std::string text(key);
  text += kGuid;
  unsigned char digest[SHA_DIGEST_LENGTH];
  SHA1(reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest);
  return base64_encode({reinterpret_cast<const char*>(digest), sizeof digest});
}

std::string accept_response(std::string_view key) {
  std::string out =
      "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
      "Sec-WebSocket-Accept: ";
  out += accept_value(key);
  out += "\r\n\r\n";
  return out;
}

std::string refuse_response(int status, const Error& error, std::string_view extra_headers) {
  std::string body;
  json::Object object(body);
  object.string("error", error.message);
  object.string("code", error.code());
  object.end();
  const auto reason = http::obsolete_reason(static_cast<http::status>(status));
  std::string out = "HTTP/1.1 " + std::to_string(status) + " ";
  out.append(reason.data(), reason.size());
  out += "\r\nContent-Type: application/json\r\nConnection: close\r\n";
  out += extra_headers;
  out += "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n";
  out += body;
  return out;
}

}  // namespace raymesh::net::websocket
