// The cache service as it ships, over real Redis servers, called through its Calls stream. For one
// test; its thread.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "libs/actor/system.hpp"
#include "libs/host/app.hpp"
#include "libs/rpc/peer.hpp"
#include "raymesh/cache/v1/cache.pb.h"
#include "services/cache/app.hpp"
#include "tests/support/redis_fixture.hpp"

namespace raymesh::cache {

class CacheHarness {
 public:
  explicit CacheHarness(uint64_t quota = 0, std::vector<std::string> cache_options = {});
  ~CacheHarness();

  /// One call on behalf of a project, answered.
  template <class Reply, class Request>
  Result<Reply> call(const std::string& method, const Request& request,
                     const std::string& project = "dev") {
    auto bytes = send(method, request.SerializeAsString(), project);
    if (!bytes.ok()) return std::move(bytes).error();
    Reply reply;
    reply.ParseFromString(*bytes);
    return reply;
  }

  // The same in the tests' own words; `get` and the like give nullopt for a miss.
  Result<std::optional<std::string>> get(const std::string& key,
                                         const std::string& project = "dev");
  Result<bool> set(const std::string& key, const std::string& json, uint64_t ttl = 0,
                   bool only_if_absent = false, const std::string& project = "dev");
  Result<bool> erase(const std::string& key, const std::string& project = "dev");
  Result<bool> expire(const std::string& key, uint64_t ttl);
  Result<uint64_t> hash_set(const std::string& key,
                            const std::vector<std::pair<std::string, std::string>>& fields);
  Result<std::optional<std::string>> hash_get_all(const std::string& key);
  Result<uint64_t> change_set(const std::string& method, const std::string& key,
                              const std::vector<std::string>& members);
  /// Sorted.
  Result<std::optional<std::vector<std::string>>> members(const std::string& key);
  Result<v1::LeaseTokensReply> lease(const std::string& bucket, double per_second, double burst,
                                     double want);

  Status ready();
  metrics::Registry& metrics() { return *registry_; }
  caf::actor_system& actors() { return actors_.get(); }
  void stop();

  test::RedisServer cache_redis;
  test::RedisServer state_redis;

 private:
  Result<std::string> send(const std::string& method, std::string payload,
                           const std::string& project);

  host::CommonConfig common_;
  std::shared_ptr<metrics::Registry> registry_ = metrics::Registry::create();
  actor::System actors_;
  host::Env env_{common_, *registry_, actors_.get()};
  std::unique_ptr<App> app_;
  std::shared_ptr<rpc::Peer> peer_;
};

/// The code of a failure, or "ok".
template <class T>
std::string code_of(const Result<T>& result) {
  return result.ok() ? "ok" : std::string(result.error().code());
}

/// Asks again until the condition holds; false after 20 s.
bool eventually(const std::function<bool()>& condition);

}  // namespace raymesh::cache
