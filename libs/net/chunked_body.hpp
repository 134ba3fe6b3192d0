// Decoder of a chunked request body (RFC 9112 section 7.1). Pure, resumable at any byte; owned by
// the session that reads such a body. Strict: lines end in CR LF, sizes are hex digits, and what
// does not carry data (extensions, trailers) is bounded and dropped.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace raymesh::net {

class ChunkedBody {
 public:
  enum class State {
    kNeedMore,
    kComplete,
    kMalformed,
    kTooLarge,  // the body is above the limit
  };

  explicit ChunkedBody(uint64_t max_body) : max_body_(max_body) {}

  /// Appends the data in `input` to `body` and removes what was used from `input`'s front; after
  /// kComplete the rest belongs to the next request.
  State feed(std::string_view& input, std::string& body);

 private:
  enum class Step { kSize, kExtension, kSizeLf, kData, kDataCr, kDataLf, kTrailer, kTrailerLf };

  uint64_t max_body_;
  Step step_ = Step::kSize;
  uint64_t chunk_left_ = 0;
  uint32_t digits_ = 0;        // of the size that is being read
  uint32_t overhead_ = 0;      // bytes of extensions and trailers so far
  uint32_t trailer_line_ = 0;  // length of the trailer line that is being read
  uint64_t size_ = 0;
};

}  // namespace raymesh::net
