#include "libs/net/http_request.hpp"

#include <algorithm>
#include <boost/beast/http/basic_parser.hpp>
#include <charconv>
#include <cstring>
#include <limits>
#include <optional>

namespace raymesh::net {

namespace http = boost::beast::http;

namespace {

using boost::beast::string_view;

std::string_view view(string_view s) {
  return {s.data(), s.size()};
}

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
}

// Beast's grammar, handing out views of the buffer instead of a tree of fields. Never sees a body.
class HeadParser final : public http::basic_parser<true> {
 public:
  HeadParser(RequestHead& head, size_t max_fields) : head_(head), max_fields_(max_fields) {
    skip(true);
    eager(false);
    header_limit(std::numeric_limits<uint32_t>::max());
    body_limit(boost::none);
  }
  bool too_many_fields() const { return too_many_fields_; }

 private:
  using error_code = boost::beast::error_code;

  void on_request_impl(http::verb, string_view method, string_view target, int version,
                       error_code&) override {
    head_.method = view(method);
    head_.target = view(target);
    head_.http_1_1 = version == 11;
  }
  void on_field_impl(http::field, string_view name, string_view value, error_code& ec) override {
    if (head_.fields.size() == max_fields_) {
      too_many_fields_ = true;
      ec = http::error::header_limit;
      return;
    }
    head_.fields.emplace_back(view(name), view(value));
  }
  void on_response_impl(int, string_view, int, error_code&) override {}
  void on_header_impl(error_code&) override {}
  void on_body_init_impl(boost::optional<uint64_t> const&, error_code&) override {}
  size_t on_body_impl(string_view, error_code&) override { return 0; }
  void on_chunk_header_impl(uint64_t, string_view, error_code&) override {}
  size_t on_chunk_body_impl(uint64_t, string_view, error_code&) override { return 0; }
  void on_finish_impl(error_code&) override {}

  RequestHead& head_;
  size_t max_fields_;
  bool too_many_fields_ = false;
};

// RFC 9110 section 5.6.1: the elements of a comma-separated list.
template <class F>
void for_each_element(std::string_view list, F f) {
  for (size_t start = 0; start <= list.size();) {
    const size_t end = std::min(list.find(',', start), list.size());
    std::string_view element = list.substr(start, end - start);
    while (!element.empty() && (element.front() == ' ' || element.front() == '\t'))
      element.remove_prefix(1);
    while (!element.empty() && (element.back() == ' ' || element.back() == '\t'))
      element.remove_suffix(1);
    f(element);
    start = end + 1;
  }
}

}  // namespace

bool equals_ignoring_case(std::string_view a, std::string_view b) {
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(),
                                            [](char x, char y) { return lower(x) == lower(y); });
}

std::string_view RequestHead::field(std::string_view name) const {
  for (const auto& [n, value] : fields)
    if (equals_ignoring_case(n, name)) return value;
  return {};
}

size_t RequestHead::count(std::string_view name) const {
  return static_cast<size_t>(std::count_if(fields.begin(), fields.end(), [&](const auto& f) {
    return equals_ignoring_case(f.first, name);
  }));
}

bool RequestHead::has_token(std::string_view name, std::string_view token) const {
  bool found = false;
  for (const auto& [n, value] : fields)
    if (equals_ignoring_case(n, name))
      for_each_element(
          value, [&](std::string_view element) { found |= equals_ignoring_case(element, token); });
  return found;
}

HeadState RequestParser::malformed(std::string_view reason) {
  reason_ = reason;
  return HeadState::kMalformed;
}

// The end of the head, and the line structure that Beast is more lenient about.
HeadState RequestParser::find_end(std::string_view buffer, size_t& end) {
  size_t line = 0;
  while (true) {
    const size_t newline = buffer.find('\n', line);
    const size_t seen = newline == std::string_view::npos ? buffer.size() : newline + 1;
    if (seen > limits_.max_bytes) return HeadState::kTooLarge;
    if (newline == std::string_view::npos) return HeadState::kNeedMore;
    if (newline == line || buffer[newline - 1] != '\r')
      return malformed("a line ends without CR LF");
    if (newline - line == 1) {
      end = newline + 1;
      return HeadState::kComplete;
    }
    if (line != 0 && (buffer[line] == ' ' || buffer[line] == '\t'))
      return malformed("a header line is folded");
    line = newline + 1;
  }
}

HeadState RequestParser::parse(std::string_view buffer, RequestHead& head) {
  // RFC 9112 section 2.2: an empty line before the request line is ignored.
  size_t skipped = 0;
  while (skipped < 4 && buffer.substr(skipped, 2) == "\r\n") skipped += 2;
  if (buffer.substr(skipped) == "\r") return HeadState::kNeedMore;
  buffer.remove_prefix(skipped);

  head.fields.clear();
  size_t end = 0;
  if (const HeadState state = find_end(buffer, end); state != HeadState::kComplete) return state;

  HeadParser parser(head, limits_.max_fields);
  boost::beast::error_code ec;
  const size_t used = parser.put({buffer.data(), end}, ec);
  if (parser.too_many_fields()) return HeadState::kTooLarge;
  if (ec || !parser.is_header_done() || used != end)
    return malformed("the request line or a header field is not valid");
  head.size = skipped + end;
  return frame(head);
}

// In one pass over the fields: most requests have few, and few of those matter here.
HeadState RequestParser::frame(RequestHead& head) {
  size_t hosts = 0;
  size_t lengths = 0;
  size_t encodings = 0;
  std::string_view length;
  std::string_view encoding;
  std::optional<std::string_view> expect;
  bool close = false;
  bool keep_alive = false;
  head.upgrade = false;
  for (const auto& [name, value] : head.fields) {
    if (equals_ignoring_case(name, "Host")) {
      ++hosts;
    } else if (equals_ignoring_case(name, "Content-Length")) {
      length = value;
      ++lengths;
    } else if (equals_ignoring_case(name, "Transfer-Encoding")) {
      encoding = value;
      ++encodings;
    } else if (equals_ignoring_case(name, "Connection")) {
      for_each_element(value, [&](std::string_view token) {
        close |= equals_ignoring_case(token, "close");
        keep_alive |= equals_ignoring_case(token, "keep-alive");
        head.upgrade |= equals_ignoring_case(token, "upgrade");
      });
    } else if (!expect && equals_ignoring_case(name, "Expect")) {
      expect = value;
    }
  }
  if (hosts > 1 || (hosts == 0 && head.http_1_1))
    return malformed("exactly one Host field is needed");
  if (lengths > 1) return malformed("several Content-Length fields");
  if (lengths != 0 && encodings != 0)
    return malformed("Content-Length and Transfer-Encoding in one request");
  head.content_length = 0;
  if (lengths == 1) {
    const char* last = length.data() + length.size();
    auto [end, ec] = std::from_chars(length.data(), last, head.content_length);
    if (ec != std::errc() || end != last) return malformed("Content-Length is not a number");
  }
  head.chunked = encodings != 0;
  if (head.chunked &&
      (encodings > 1 || !head.http_1_1 || !equals_ignoring_case(encoding, "chunked")))
    return malformed("the only Transfer-Encoding is chunked, in HTTP/1.1");
  head.keep_alive = !close && (head.http_1_1 || keep_alive);
  head.expect_continue = head.http_1_1 && expect && equals_ignoring_case(*expect, "100-continue");
  return HeadState::kComplete;
}

}  // namespace raymesh::net
