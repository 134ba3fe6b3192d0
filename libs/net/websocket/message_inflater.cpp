#include "libs/net/websocket/message_inflater.hpp"

#include <zlib.h>

#include <algorithm>
#include <cstring>
#include <limits>

namespace raymesh::net::websocket {
namespace {

constexpr size_t kFirstBuffer = 4u << 10;
// Whatever window the client has chosen, this one holds it.
constexpr int kLargestWindowBits = 15;

}  // namespace

MessageInflater::MessageInflater() = default;
MessageInflater::~MessageInflater() = default;

void MessageInflater::Closer::operator()(z_stream_s* stream) const {
  inflateEnd(stream);
  delete stream;
}

bool MessageInflater::reset() {
  if (stream_) return inflateReset(stream_.get()) == Z_OK;
  auto stream = std::make_unique<z_stream>();
  if (inflateInit2(stream.get(), -kLargestWindowBits) != Z_OK) return false;
  stream_.reset(stream.release());
  return true;
}

void MessageInflater::grow(size_t used, size_t most) {
  const size_t capacity = std::min(std::max(2 * capacity_, kFirstBuffer), most);
  std::unique_ptr<char[]> fresh(new char[capacity]);
  if (used > 0) std::memcpy(fresh.get(), buffer_.get(), used);
  buffer_ = std::move(fresh);
  capacity_ = capacity;
}

uint16_t MessageInflater::inflate_all(std::span<const char> in, size_t max_message, size_t& size) {
  size = 0;
  if (in.size() > std::numeric_limits<uInt>::max() ||
      max_message >= std::numeric_limits<uInt>::max())
    return close_code::kMessageTooBig;
  if (!reset()) return close_code::kInternalError;
  stream_->next_in = reinterpret_cast<Bytef*>(const_cast<char*>(in.data()));
  stream_->avail_in = static_cast<uInt>(in.size());
  for (;;) {
    // One byte above the limit tells a message of just that size from a larger one.
    if (size == capacity_) grow(size, max_message + 1);
    stream_->next_out = reinterpret_cast<Bytef*>(buffer_.get() + size);
    stream_->avail_out = static_cast<uInt>(std::min(capacity_, max_message + 1) - size);
    const int result = inflate(stream_.get(), Z_SYNC_FLUSH);
    size = static_cast<size_t>(reinterpret_cast<char*>(stream_->next_out) - buffer_.get());
    if (size > max_message) return close_code::kMessageTooBig;
    if (result == Z_MEM_ERROR) return close_code::kInternalError;
    if (result == Z_STREAM_END) {
      // A block was marked as the last one; a sender may do so and go on (section 7.2.3.4).
      if (stream_->avail_in == 0 || inflateReset(stream_.get()) != Z_OK) break;
      continue;
    }
    // Z_BUF_ERROR says only that input or room has come to its end.
    if (result != Z_OK && result != Z_BUF_ERROR) return close_code::kInvalidPayload;
    if (stream_->avail_out > 0) break;
  }
  // The sender has taken off the last four bytes of its flush, 00 00 ff ff. A message is whole when
  // these are what zlib waits for now; one that is cut anywhere else is not.
  return inflateSyncPoint(stream_.get()) == 1 ? 0 : close_code::kInvalidPayload;
}

uint16_t MessageInflater::open(MessageAssembler::Message& message, size_t max_message) {
  if (!message.is_compressed) return 0;
  size_t size = 0;
  const uint16_t error = inflate_all(message.payload, max_message, size);
  if (error != 0) return error;
  message.payload = {buffer_.get(), size};
  message.is_compressed = false;
  if (message.is_text && !is_utf8({buffer_.get(), size})) return close_code::kInvalidPayload;
  return 0;
}

}  // namespace raymesh::net::websocket
