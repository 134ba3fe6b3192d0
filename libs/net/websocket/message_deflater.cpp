#include "libs/net/websocket/message_deflater.hpp"

#include <zlib.h>

#include <cstring>
#include <limits>

#include "libs/net/websocket/deflate_offer.hpp"

namespace raymesh::net::websocket {
namespace {

// zlib clears its hash table for each message. The default's 64 KiB cost more than compressing a
// short message does; with 8 KiB the frames become as small and short ones take half the time.
constexpr int kMemoryLevel = 5;

// What Z_SYNC_FLUSH ends with, and RFC 7692 section 7.2.1 takes off: 00 00 ff ff.
constexpr size_t kTail = 4;

constexpr unsigned char kRsv1 = 0x40;

}  // namespace

MessageDeflater::MessageDeflater(DeflateOptions options) : options_(options) {}
MessageDeflater::~MessageDeflater() = default;

void MessageDeflater::Closer::operator()(z_stream_s* stream) const {
  deflateEnd(stream);
  delete stream;
}

bool MessageDeflater::open() {
  if (stream_) return deflateReset(stream_.get()) == Z_OK;
  auto stream = std::make_unique<z_stream>();
  // A negative number of bits: no header and no checksum around the blocks.
  if (deflateInit2(stream.get(), options_.level, Z_DEFLATED, -kDeflateWindowBits, kMemoryLevel,
                   Z_DEFAULT_STRATEGY) != Z_OK)
    return false;
  stream_.reset(stream.release());
  return true;
}

void MessageDeflater::reserve(size_t bytes) {
  if (capacity_ >= bytes) return;
  buffer_.reset(new char[bytes]);
  capacity_ = bytes;
}

std::string_view MessageDeflater::frame(Opcode opcode, std::string_view payload) {
  if (payload.size() < options_.min_bytes || payload.empty() ||
      payload.size() > std::numeric_limits<uInt>::max() - kTail || !open())
    return {};
  // There is room for what is smaller than the payload, and for no more: as soon as that is full,
  // compressing has not paid off.
  reserve(kMaxServerHeader + payload.size() + kTail);
  char* const body = buffer_.get() + kMaxServerHeader;
  stream_->next_in = reinterpret_cast<Bytef*>(const_cast<char*>(payload.data()));
  stream_->avail_in = static_cast<uInt>(payload.size());
  stream_->next_out = reinterpret_cast<Bytef*>(body);
  stream_->avail_out = static_cast<uInt>(payload.size() + kTail);
  if (deflate(stream_.get(), Z_SYNC_FLUSH) != Z_OK || stream_->avail_out == 0) return {};
  const size_t size = payload.size() - stream_->avail_out;

  // The header's length is known only now: it is put right before the body.
  char header[kMaxServerHeader];
  const size_t header_size = write_server_header(header, opcode, size);
  header[0] = static_cast<char>(static_cast<unsigned char>(header[0]) | kRsv1);
  std::memcpy(body - header_size, header, header_size);
  return {body - header_size, header_size + size};
}

size_t MessageDeflater::recode(std::string_view frames, char* out) {
  char* const begin = out;
  while (!frames.empty()) {
    const std::string_view plain = frames.substr(0, server_frame_bytes(frames.data()));
    frames.remove_prefix(plain.size());
    const auto opcode = static_cast<Opcode>(plain[0] & 0x0f);
    std::string_view chosen;
    if (!is_control(opcode)) {
      const auto length = static_cast<unsigned char>(plain[1]);
      const size_t header = length < 126 ? 2 : length == 126 ? 4 : 10;
      chosen = frame(opcode, plain.substr(header));
    }
    if (chosen.empty()) chosen = plain;
    std::memcpy(out, chosen.data(), chosen.size());
    out += chosen.size();
  }
  return static_cast<size_t>(out - begin);
}

}  // namespace raymesh::net::websocket
