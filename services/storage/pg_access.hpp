// The way from any thread to the pools: the I/O threads of the storage service, one set of pools on
// each. A project always lives on the same thread. Owned by the app; thread-safe.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "libs/net/io_threads.hpp"
#include "libs/pg/project_pools.hpp"

namespace raymesh::storage {

class PgAccess {
 public:
  /// The key of the service's own login, beside the projects' ids.
  static constexpr std::string_view kSystem = "";

  PgAccess(size_t threads, const pg::ProjectPoolsConfig& config,
           pg::ProjectPools::LoginFor login_for, pg::PoolEvents& events);
  ~PgAccess();

  /// Hands over; many requests of one moment cost one wake-up. After stop() the sink is told so.
  void submit(const std::string& key, pg::RequestPtr request);
  /// The same, already on the key's thread (in a sink's done, say).
  void submit_here(const std::string& key, pg::RequestPtr request);
  /// Prepared statements of this project are closed. Any thread.
  void forget_statements(const std::string& key);

  /// The threads, for whoever makes requests on them: a call that comes, runs and is answered on
  /// one thread wakes no other.
  net::IoThreads& threads() { return threads_; }

  /// Answers what is left, closes all connections, ends the threads.
  void stop();

 private:
  struct Shard;
  Shard& shard(std::string_view key);

  net::IoThreads threads_;
  std::vector<std::unique_ptr<Shard>> shards_;
  bool is_stopped_ = false;
};

}  // namespace raymesh::storage
