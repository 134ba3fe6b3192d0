// What gRPC adds to HTTP/2 (its "gRPC over HTTP2" specification): the prefix of a message, the
// timeout header, and how a failure is written into trailers. Pure, any thread.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "libs/base/result.hpp"
#include "libs/rpc/headers.hpp"

namespace raymesh::rpc::grpc_wire {

/// Before each message: one byte that says whether it is compressed, then its size, big-endian.
inline constexpr size_t kPrefixBytes = 5;

struct Prefix {
  bool compressed = false;
  uint32_t size = 0;
};
/// `bytes` points to kPrefixBytes.
Prefix parse_prefix(const char* bytes);
void append_prefix(std::string& out, size_t message_size);

/// "100m", "20S": at most eight digits and a unit. nullopt for anything else.
std::optional<std::chrono::nanoseconds> parse_timeout(std::string_view text);

/// ":status: 200" and the content type: the start of every answer.
const Headers& answer_headers();
/// What ends an answer: grpc-status and, for failures, grpc-message and our own details
/// (kErrorMetadata). Long messages are cut, because clients bound the trailers they take.
Headers ok_trailers();
Headers error_trailers(const Error& error);
/// Both in one, for a call that fails before it has sent anything.
Headers error_answer(const Error& error);

/// The status in an answer's headers or trailers; nullopt when there is none.
struct Status {
  int code = 0;
  std::string message;
};
std::optional<Status> parse_status(const Headers& headers);

}  // namespace raymesh::rpc::grpc_wire
