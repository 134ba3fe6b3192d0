// The frame parser and the stream behind a socket: any bytes, cut anywhere, must give the same
// frames as in one piece, each of them exactly what was expected, and hold no more than the budget.
#include <algorithm>

#include "libs/raystream/frame_stream.hpp"
#include "tests/fuzz/raystream_fuzz.hpp"

namespace {

using namespace raymesh::raystream;
using fuzz::require;

constexpr size_t kBudget = 20'000;

struct Outcome {
  std::vector<std::string> frames;
  Refusal refusal;
};

Outcome run(const std::string& bytes, size_t step, Expected expected) {
  Outcome out;
  FrameBudget budget(kBudget);
  {
    FrameStream stream(budget);
    for (size_t at = 0; at < bytes.size() && !out.refusal; at += step) {
      // An exact allocation, so that the sanitizer sees one byte too far.
      const size_t end = std::min(at + step, bytes.size());
      std::vector<char> read(bytes.begin() + static_cast<ptrdiff_t>(at),
                             bytes.begin() + static_cast<ptrdiff_t>(end));
      stream.feed(read);
      while (true) {
        const FrameStream::Next next = stream.next(expected);
        require(budget.used() <= kBudget);
        if (next.status == ParseStatus::kNeedMore) break;
        if (next.status == ParseStatus::kRefused) {
          require(static_cast<bool>(next.refusal));
          out.refusal = next.refusal;
          break;
        }
        const std::string frame(next.frame.data(), next.frame.size());
        require(frame.size() >= kFrameOverhead &&
                frame.size() <= kFrameOverhead + expected.max_payload);
        std::string prefix(kPayloadOffset, '\0');
        write_header(prefix.data(), static_cast<FrameType>(frame[1]), expected.sequence,
                     static_cast<uint32_t>(frame.size() - kFrameOverhead));
        write_nonce(prefix.data() + kHeaderBytes, expected.epoch, expected.sequence);
        require(frame.compare(0, kPayloadOffset, prefix) == 0);
        require((bit(static_cast<FrameType>(frame[1])) & expected.types) != 0);
        out.frames.push_back(frame);
        ++expected.sequence;
      }
    }
  }
  require(budget.used() == 0);
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fuzz::Input input(data, size);
  Expected expected{.types = input.two(), .max_payload = input.two(), .epoch = 0, .sequence = 1};
  if ((input.byte() & 1) != 0) expected.epoch = 0x0102030405060708;
  const std::string bytes = input.rest();
  const Outcome whole = run(bytes, std::max<size_t>(bytes.size(), 1), expected);
  for (const size_t step : {1, 2, 3, 17, 44}) {
    const Outcome cut = run(bytes, step, expected);
    // What came before a refusal is the same, and so is the refusal, but for the budget, which only
    // the frames that are cut need.
    if (cut.refusal.code == ErrorCode::kServiceUnavailable ||
        whole.refusal.code == ErrorCode::kServiceUnavailable)
      continue;
    require(cut.frames == whole.frames);
    require(cut.refusal.code == whole.refusal.code && cut.refusal.why == whole.refusal.why);
  }
  return 0;
}
