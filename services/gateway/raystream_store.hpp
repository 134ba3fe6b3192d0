// The gateways' access to the stored state of raystream sessions, in the cache service. Part of
// Core; a Worker calls it on its own thread, and gets its answers there.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "libs/base/result.hpp"
#include "libs/base/unique_function.hpp"
#include "libs/raystream/state_keys.hpp"
#include "raymesh/cache/v1/cache.pb.h"

namespace raymesh::gateway {

struct Core;
struct Worker;

class RaystreamStore {
 public:
  template <class Reply>
  using Done = UniqueFunction<void(Result<Reply>)>;

  explicit RaystreamStore(Core& core);

  /// Once, before the port opens. Without keys no session is stored.
  void set_keys(raystream::StateKeys keys) { keys_.emplace(std::move(keys)); }
  bool enabled() const { return keys_.has_value(); }
  const raystream::StateKeys& keys() const { return *keys_; }
  /// What this process is called as the owner of sessions; another one each time it starts.
  const std::string& owner() const { return owner_; }
  /// The cache service is there, as far as is known.
  bool ready() const;

  void get(Worker& worker, std::string_view session_id, std::chrono::milliseconds timeout,
           Done<cache::v1::SessionReply> done);
  /// The owner of `request` is this gateway.
  void put(Worker& worker, cache::v1::PutSessionRequest request,
           Done<cache::v1::PutSessionReply> done);
  /// Of sessions of this gateway: their secrets of before are worth nothing any more.
  void confirm(Worker& worker, cache::v1::ConfirmSessionsRequest request,
               Done<cache::v1::CountReply> done);
  /// `lower`: there may be owners of lower generations. Nobody waits for it: a session that could
  /// not be removed ends when its time comes.
  void end(Worker& worker, std::string_view session_id, uint64_t generation, std::string_view owner,
           bool lower);
  void lost(Worker& worker, const std::vector<std::string>& after,
            Done<cache::v1::LostSessionsReply> done);

 private:
  template <class Reply, class Request>
  void call(Worker& worker, std::string_view method, const Request& request,
            std::chrono::milliseconds timeout, Done<Reply> done);

  Core& core_;
  const std::string owner_;
  std::optional<raystream::StateKeys> keys_;
};

}  // namespace raymesh::gateway
