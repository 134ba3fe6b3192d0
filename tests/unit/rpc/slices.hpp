// gRPC byte buffers and our strings. Pure, any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include <grpcpp/support/byte_buffer.h>

namespace raymesh::rpc::test::slices {

inline std::string_view view(const grpc::Slice& slice) {
  return {reinterpret_cast<const char*>(slice.begin()), slice.size()};
}

/// The buffer's bytes in one piece, copied only when they came in several. nullopt above `max`.
inline std::optional<grpc::Slice> flatten(const grpc::ByteBuffer& buffer, size_t max) {
  if (!buffer.Valid()) return grpc::Slice();
  if (buffer.Length() > max) return std::nullopt;
  grpc::Slice slice;
  if (buffer.TrySingleSlice(&slice).ok() || buffer.DumpToSingleSlice(&slice).ok()) return slice;
  return std::nullopt;
}

/// A buffer that owns the string; its bytes are not copied.
inline grpc::ByteBuffer from_string(std::string bytes) {
  auto* owned = new std::string(std::move(bytes));
  const grpc::Slice slice(
      owned->data(), owned->size(), [](void* p) { delete static_cast<std::string*>(p); }, owned);
  return grpc::ByteBuffer(&slice, 1);
}

}  // namespace raymesh::rpc::test::slices
