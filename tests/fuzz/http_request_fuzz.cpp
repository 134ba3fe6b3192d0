// The head of an HTTP request and a chunked body, in two pieces that the first byte cuts: the
// outcome must not depend on where bytes were cut, and nothing may be read beyond them.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "libs/net/chunked_body.hpp"
#include "libs/net/http_request.hpp"

namespace {

using namespace raymesh::net;

void check_body(std::string_view bytes, size_t cut) {
  ChunkedBody whole(1 << 16);
  std::string body;
  std::string_view rest = bytes;
  const auto state = whole.feed(rest, body);
  if (body.size() > (1 << 16)) std::abort();

  ChunkedBody cut_up(1 << 16);
  std::string cut_body;
  std::string_view first = bytes.substr(0, cut);
  auto cut_state = cut_up.feed(first, cut_body);
  std::string_view second = bytes.substr(cut);
  if (cut_state == ChunkedBody::State::kNeedMore) {
    if (!first.empty()) std::abort();
    cut_state = cut_up.feed(second, cut_body);
  }
  if (cut_state != state || cut_body != body) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  // On the heap at its exact size, so that AddressSanitizer sees a read beyond it.
  const std::string bytes(reinterpret_cast<const char*>(data + 1), size - 1);
  const size_t cut = bytes.empty() ? 0 : data[0] * bytes.size() / 256;
  RequestParser parser({.max_bytes = 4096, .max_fields = 20});
  RequestHead part;
  const HeadState partial = parser.parse(std::string_view(bytes).substr(0, cut), part);
  RequestHead head;
  const HeadState state = parser.parse(bytes, head);
  if (partial != HeadState::kNeedMore && partial != state) std::abort();
  if (state != HeadState::kComplete) {
    check_body(bytes, cut);
    return 0;
  }
  if (head.size > bytes.size() || head.fields.size() > 20) std::abort();
  if (head.chunked && head.content_length != 0) std::abort();
  for (const auto& [name, value] : head.fields) {
    if (name.empty() || name.find_first_of("\r\n :") != name.npos) std::abort();
    if (value.find_first_of("\r\n") != value.npos) std::abort();
  }
  if (head.chunked) check_body(std::string_view(bytes).substr(head.size), 0);
  return 0;
}
