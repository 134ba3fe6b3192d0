// Sends what the gRPC library logs through our log, so that every line of a process is JSON: its
// errors as warnings (a foreign handshake that failed is no defect of ours), the rest not at all.
// At most ten lines a second, so that a port full of garbage does not fill the disk.
#pragma once

namespace raymesh::rpc {

/// Before the first channel or server; later calls do nothing.
void route_grpc_log();

}  // namespace raymesh::rpc
