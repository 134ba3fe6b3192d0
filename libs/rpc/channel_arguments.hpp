// gRPC's settings for both ends of a connection: message bounds, pings that find dead peers,
// reconnecting at our pace. Used when channels and servers are made.
#pragma once

#include <cstddef>

#include <grpcpp/server_builder.h>
#include <grpcpp/support/channel_arguments.h>

namespace raymesh::rpc {

void set_channel_arguments(grpc::ChannelArguments& arguments);
void set_server_arguments(grpc::ServerBuilder& builder, size_t max_unary_bytes);

}  // namespace raymesh::rpc
