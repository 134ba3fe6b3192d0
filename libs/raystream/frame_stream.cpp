#include "libs/raystream/frame_stream.hpp"

#include <algorithm>
#include <cstring>

namespace raymesh::raystream {

bool FrameBudget::take(size_t bytes) {
  size_t used = used_.load(std::memory_order_relaxed);
  do {
    if (bytes > most_ || used > most_ - bytes) return false;
  } while (!used_.compare_exchange_weak(used, used + bytes, std::memory_order_relaxed));
  return true;
}

FrameStream::Next FrameStream::next(const Expected& expected) {
  if (whole_) {
    // The memory stays for what may follow in this read.
    whole_ = false;
    size_ = 0;
  }
  while (true) {
    const bool direct = size_ == 0;
    const std::string_view bytes = direct ? std::string_view(input_.data(), input_.size())
                                          : std::string_view(partial_.get(), size_);
    const ParsedFrame parsed = parse_frame(bytes, expected);
    if (parsed.status == ParseStatus::kRefused) return {parsed.status, {}, parsed.refusal};
    if (parsed.status == ParseStatus::kFrame) {
      if (direct) {
        const std::span<char> frame = input_.first(parsed.bytes);
        input_ = input_.subspan(parsed.bytes);
        return {parsed.status, frame, {}};
      }
      whole_ = true;
      return {parsed.status, {partial_.get(), parsed.bytes}, {}};
    }
    if (input_.empty()) {
      if (direct) release();
      return {};
    }
    // No more than the frame has, as far as is known: what is behind it may be whole where it is.
    const size_t more = std::min(parsed.bytes - size_, input_.size());
    if (!reserve(std::min(parsed.bytes, std::max(2 * (size_ + more), kFrameOverhead))))
      return {ParseStatus::kRefused,
              {},
              {ErrorCode::kServiceUnavailable, "too many bytes of incomplete frames"}};
    fill(more);
  }
}

bool FrameStream::move_to(FrameBudget& budget) {
  if (!budget.take(capacity_)) return false;
  budget_->give_back(capacity_);
  budget_ = &budget;
  return true;
}

bool FrameStream::reserve(size_t bytes) {
  // What a large frame needed does not stay for the beginning of a small one.
  if (size_ == 0 && bytes <= capacity_ / 4) release();
  if (bytes <= capacity_) return true;
  if (!budget_->take(bytes - capacity_)) return false;
  std::unique_ptr<char[]> larger(new char[bytes]);
  if (size_ > 0) std::memcpy(larger.get(), partial_.get(), size_);
  partial_ = std::move(larger);
  capacity_ = bytes;
  return true;
}

void FrameStream::fill(size_t bytes) {
  std::memcpy(partial_.get() + size_, input_.data(), bytes);
  size_ += bytes;
  input_ = input_.subspan(bytes);
}

void FrameStream::release() {
  budget_->give_back(capacity_);
  partial_.reset();
  size_ = 0;
  capacity_ = 0;
}

}  // namespace raymesh::raystream
