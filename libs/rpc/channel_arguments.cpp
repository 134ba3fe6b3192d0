#include "libs/rpc/channel_arguments.hpp"

#include "libs/rpc/frames.hpp"

namespace raymesh::rpc {
namespace {

// A peer that vanished without a FIN is found after at most the sum of both.
constexpr int kPingEveryMs = 10'000;
constexpr int kPingTimeoutMs = 5'000;
// Unary calls at once on one connection; more wait at the caller's end.
constexpr int kMaxCallsPerConnection = 1'024;
constexpr int kReconnectMs = 100;

}  // namespace

void set_channel_arguments(grpc::ChannelArguments& arguments) {
  arguments.SetMaxReceiveMessageSize(static_cast<int>(frames::kMaxMessageBytes));
  arguments.SetMaxSendMessageSize(static_cast<int>(frames::kMaxMessageBytes));
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, kPingEveryMs);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kPingTimeoutMs);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  // A channel stands for one connection and is thrown away with it: nothing is shared or pooled,
  // and the pace of reconnecting is the peer's own.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, kReconnectMs);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, kReconnectMs);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, kReconnectMs);
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetServiceConfigJSON("{}");
  arguments.SetInt(GRPC_ARG_SERVICE_CONFIG_DISABLE_RESOLUTION, 1);
}

void set_server_arguments(grpc::ServerBuilder& builder, size_t max_unary_bytes) {
  builder.SetMaxReceiveMessageSize(static_cast<int>(max_unary_bytes));
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, kPingEveryMs);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kPingTimeoutMs);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
                             kPingEveryMs / 2);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, kMaxCallsPerConnection);
  // A second process on the same port is a mistake, not a way to share its load.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
}

}  // namespace raymesh::rpc
