// The two services that every gRPC server is expected to have: grpc.health.v1.Health (Check and
// Watch) and grpc.reflection.v1 and v1alpha (ServerReflectionInfo), after their published
// definitions. They say nothing that is secret, so they ask for no identity beyond the
// connection's. Thread-safe.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "libs/rpc/http2_connection.hpp"

namespace raymesh::rpc {

class StandardServices {
 public:
  /// `service` is the full name of the one that the server is there for.
  explicit StandardServices(std::string service);
  ~StandardServices();

  void set_serving(bool serving);
  /// Ends the watchers: they hold up a stop otherwise.
  void end_watches();

  /// Handles the stream of a path of theirs; nullptr when `path` is none.
  std::shared_ptr<StreamHandler> open(std::string_view path, Http2Connection& connection,
                                      Http2Session::StreamId id);

 private:
  class Check;
  class Watch;
  class Reflection;
  enum class Health { kUnknownService = 3, kServing = 1, kNotServing = 2 };

  Health health(std::string_view service) const;
  void wake_watches();

  const std::string service_;
  mutable std::mutex mutex_;
  bool serving_ = false;                       // guarded by mutex_
  bool ended_ = false;                         // guarded by mutex_
  std::vector<std::weak_ptr<Watch>> watches_;  // guarded by mutex_
};

}  // namespace raymesh::rpc
