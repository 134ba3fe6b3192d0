// Questions to the standard health and reflection services, without their generated code.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <grpcpp/channel.h>

namespace raymesh::rpc::test {

/// "SERVING", "NOT_SERVING", "UNKNOWN", "NOT_FOUND" or "status <gRPC status>".
std::string check_health(const std::shared_ptr<grpc::Channel>& channel, const std::string& service);

/// The names that grpc.reflection.v1alpha lists.
std::vector<std::string> list_services(const std::shared_ptr<grpc::Channel>& channel);

}  // namespace raymesh::rpc::test
