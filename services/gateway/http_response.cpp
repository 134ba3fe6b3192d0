#include "services/gateway/http_response.hpp"

#include <ctime>

#include "libs/base/json_writer.hpp"

namespace raymesh::gateway {
namespace {

// RFC 9110 section 6.6.1. One formatting per second and thread.
std::string_view date_line() {
  thread_local std::time_t formatted = 0;
  thread_local char line[48];
  thread_local size_t length = 0;
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME_COARSE, &now);
  if (now.tv_sec != formatted) {
    std::tm tm{};
    ::gmtime_r(&now.tv_sec, &tm);
    length = std::strftime(line, sizeof line, "Date: %a, %d %b %Y %H:%M:%S GMT\r\n", &tm);
    formatted = now.tv_sec;
  }
  return {line, length};
}

}  // namespace

std::string_view reason_phrase(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 204:
      return "No Content";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 409:
      return "Conflict";
    case 413:
      return "Content Too Large";
    case 417:
      return "Expectation Failed";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 499:
      return "Client Closed Request";
    case 500:
      return "Internal Server Error";
    case 501:
      return "Not Implemented";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    case 507:
      return "Insufficient Storage";
    default:
      return "Unknown";
  }
}

void append_head(std::string& out, const ResponseHead& head) {
  if (head.status == 200) {
    out += "HTTP/1.1 200 OK\r\n";
  } else {
    out += "HTTP/1.1 ";
    json::append_int(out, head.status);
    out += ' ';
    out += reason_phrase(head.status);
    out += "\r\n";
  }
  out += date_line();
  if (head.has_content) {
    out += "Content-Type: application/json\r\nContent-Length: ";
    json::append_uint(out, head.content_length);
    out += "\r\n";
  }
  out +=
      "Access-Control-Allow-Origin: *\r\n"
      "Access-Control-Expose-Headers: Retry-After, X-Request-Id\r\n"
      "X-Content-Type-Options: nosniff\r\n";
  if (head.preflight)
    out +=
        "Access-Control-Allow-Methods: GET,POST,PUT,PATCH,DELETE,OPTIONS\r\n"
        "Access-Control-Allow-Headers: "
        "Authorization,Content-Type,Idempotency-Key,X-Access-Token,X-App-Url\r\n"
        "Access-Control-Max-Age: 86400\r\n";
  if (!head.request_id.empty()) {
    out += "X-Request-Id: ";
    out += head.request_id;
    out += "\r\n";
  }
  if (!head.allow.empty()) {
    out += "Allow: ";
    out += head.allow;
    out += "\r\n";
  }
  if (head.status == 401) out += "WWW-Authenticate: Bearer\r\n";
  if (head.retry_after != 0) {
    out += "Retry-After: ";
    json::append_uint(out, head.retry_after);
    out += "\r\n";
  }
  if (head.close) out += "Connection: close\r\n";
  out += "\r\n";
}

}  // namespace raymesh::gateway
