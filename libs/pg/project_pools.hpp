// All pools of one node, one per project (or other login), under one budget of connections. Above
// the budget, an idle connection of the pool that was used longest ago makes room; when all are
// busy, requests wait and are then refused with `overloaded`. Owned by a service's app; one I/O
// thread calls everything. Nothing runs while nothing is in flight.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

#include "libs/pg/connection_pool.hpp"

namespace raymesh::pg {

struct ProjectPoolsConfig {
  PoolLimits pool;
  ConnectionLimits connection;
  size_t max_connections = 64;  // of all pools
  size_t max_pools = 1'024;     // pools without a connection are forgotten above this
  std::chrono::milliseconds tick{5};
};

class ProjectPools final : public ConnectionPool::Budget {
 public:
  /// The login behind a key (a project's id). An error is answered to the request.
  using LoginFor = std::function<Result<Login>(const std::string& key)>;

  ProjectPools(boost::asio::io_context& io, ProjectPoolsConfig config, LoginFor login_for,
               PoolEvents& events);
  ~ProjectPools() override;

  /// The request's sink is called once, possibly inside this call.
  void submit(const std::string& key, RequestPtr request);
  /// The schema has changed: prepared statements of this key are closed.
  void forget_statements(const std::string& key);
  /// Answers everything that is left and closes all connections; later requests are refused.
  void shutdown();

  size_t connections() const { return used_; }
  size_t in_flight() const;
  size_t waiting() const;

 private:
  using Pools = std::unordered_map<std::string, std::unique_ptr<ConnectionPool>>;

  bool take(ConnectionPool& pool) override;
  void give_back() override;
  ConnectionPool* pool_for(const std::string& key, Error& error);
  void forget_oldest_pool();
  void arm();
  void tick();

  boost::asio::io_context& io_;
  const ProjectPoolsConfig config_;
  const LoginFor login_for_;
  PoolEvents& events_;
  size_t used_ = 0;
  boost::asio::steady_timer timer_;
  bool is_armed_ = false;
  bool is_shut_ = false;
  Pools pools_;  // last: its pools give back to the members above
};

}  // namespace raymesh::pg
