// The reader of RPC_CALL, which walks over the bytes itself: what it takes means the same to
// Protobuf's own parser, what Protobuf writes it takes, and the views that it gives lie in the
// payload.
#include "raymesh/raystream/v1/raystream.pb.h"
#include "services/gateway/raystream_wire.hpp"
#include "tests/fuzz/raystream_fuzz.hpp"

namespace {

using raymesh::gateway::CallFrame;
using raymesh::raystream::fuzz::require;
using raymesh::raystream::v1::RpcCall;

void require_same(const CallFrame& frame, const RpcCall& call) {
  require(frame.call_id == call.call_id());
  require(frame.method == call.method());
  require(frame.args == call.args());
  require(frame.more == call.more());
  auto metadata = [&](const char* name) {
    const auto it = call.metadata().find(name);
    return it == call.metadata().end() ? std::string() : it->second;
  };
  require(frame.content_type == metadata("content-type"));
  require(frame.timeout_ms == metadata("timeout-ms"));
  require(frame.traceparent == metadata("traceparent"));
  require(frame.idempotency_key == metadata("idempotency-key"));
  require(frame.path == metadata("path"));
  require(frame.query == metadata("query"));
}

void require_within(std::string_view part, const std::vector<char>& bytes) {
  require(part.empty() || (part.data() >= bytes.data() &&
                           part.data() + part.size() <= bytes.data() + bytes.size()));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  // An exact allocation, so that the sanitizer sees one byte too far.
  const std::vector<char> bytes(data, data + size);
  const std::string_view payload(bytes.data(), bytes.size());
  CallFrame frame;
  const bool taken = raymesh::gateway::parse_call(payload, frame);
  for (const std::string_view part : {frame.method, frame.args, frame.content_type, frame.path})
    require_within(part, bytes);
  require_within(raymesh::gateway::text_field(payload, 1), bytes);

  RpcCall call;
  if (!call.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return 0;
  if (taken) require_same(frame, call);
  call.DiscardUnknownFields();
  const std::string written = call.SerializeAsString();
  CallFrame again;
  const bool few = call.metadata().size() <= 32;
  require(raymesh::gateway::parse_call(written, again) == few);
  if (few) require_same(again, call);
  require(raymesh::gateway::text_field(written, 3) == call.args());
  return 0;
}
