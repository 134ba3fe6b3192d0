#include "libs/net/chunked_body.hpp"

#include <algorithm>

namespace raymesh::net {
namespace {

constexpr uint32_t kMaxDigits = 15;           // fits uint64_t with room to spare
constexpr uint32_t kMaxOverhead = 16u << 10;  // as much as a head may have

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

ChunkedBody::State ChunkedBody::feed(std::string_view& input, std::string& body) {
  while (!input.empty()) {
    if (step_ == Step::kData) {
      const size_t take = static_cast<size_t>(std::min<uint64_t>(chunk_left_, input.size()));
      body.append(input.data(), take);
      input.remove_prefix(take);
      chunk_left_ -= take;
      if (chunk_left_ == 0) step_ = Step::kDataCr;
      continue;
    }
    const char c = input.front();
    input.remove_prefix(1);
    switch (step_) {
      case Step::kSize:
        if (const int digit = hex_digit(c); digit >= 0) {
          if (++digits_ > kMaxDigits) return State::kMalformed;
          chunk_left_ = chunk_left_ * 16 + static_cast<uint64_t>(digit);
        } else if (digits_ > 0 && c == '\r') {
          step_ = Step::kSizeLf;
        } else if (digits_ > 0 && (c == ';' || c == ' ' || c == '\t')) {
          step_ = Step::kExtension;
        } else {
          return State::kMalformed;
        }
        break;
      case Step::kExtension:
        if (++overhead_ > kMaxOverhead || c == '\n' || c == '\0') return State::kMalformed;
        if (c == '\r') step_ = Step::kSizeLf;
        break;
      case Step::kSizeLf:
        if (c != '\n') return State::kMalformed;
        if (chunk_left_ > max_body_ - size_) return State::kTooLarge;
        size_ += chunk_left_;
        digits_ = 0;
        trailer_line_ = 0;
        step_ = chunk_left_ == 0 ? Step::kTrailer : Step::kData;
        break;
      case Step::kDataCr:
        if (c != '\r') return State::kMalformed;
        step_ = Step::kDataLf;
        break;
      case Step::kDataLf:
        if (c != '\n') return State::kMalformed;
        step_ = Step::kSize;
        break;
      case Step::kTrailer:
        if (++overhead_ > kMaxOverhead || c == '\n' || c == '\0') return State::kMalformed;
        if (c == '\r')
          step_ = Step::kTrailerLf;
        else
          ++trailer_line_;
        break;
      case Step::kTrailerLf:
        if (c != '\n') return State::kMalformed;
        if (trailer_line_ == 0) return State::kComplete;
        trailer_line_ = 0;
        step_ = Step::kTrailer;
        break;
      case Step::kData:
        break;
    }
  }
  return State::kNeedMore;
}

}  // namespace raymesh::net
