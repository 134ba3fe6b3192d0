#include "libs/pg/project_pools.hpp"

namespace raymesh::pg {

ProjectPools::ProjectPools(boost::asio::io_context& io, ProjectPoolsConfig config,
                           LoginFor login_for, PoolEvents& events)
    : io_(io), config_(config), login_for_(std::move(login_for)), events_(events), timer_(io) {}

ProjectPools::~ProjectPools() {
  shutdown();
}

void ProjectPools::submit(const std::string& key, RequestPtr request) {
  Error error;
  ConnectionPool* pool = pool_for(key, error);
  if (pool == nullptr) {
    Outcome outcome;
    outcome.error = std::move(error);
    request->sink->done(std::move(outcome));
    return;
  }
  pool->submit(std::move(request));
  arm();
}

ConnectionPool* ProjectPools::pool_for(const std::string& key, Error& error) {
  if (auto it = pools_.find(key); it != pools_.end()) return it->second.get();
  if (is_shut_) {
    error = Error(errors::kUnavailable, "the service is stopping");
    return nullptr;
  }
  Result<Login> login = login_for_(key);
  if (!login.ok()) {
    error = std::move(login).error();
    return nullptr;
  }
  if (pools_.size() >= config_.max_pools) forget_oldest_pool();
  auto pool = std::make_unique<ConnectionPool>(io_, std::move(*login), config_.pool,
                                               config_.connection, *this, events_);
  return pools_.emplace(key, std::move(pool)).first->second.get();
}

void ProjectPools::forget_oldest_pool() {
  auto oldest = pools_.end();
  for (auto it = pools_.begin(); it != pools_.end(); ++it) {
    if (it->second->has_work()) continue;
    if (oldest == pools_.end() || it->second->last_used() < oldest->second->last_used()) {
      oldest = it;
    }
  }
  if (oldest != pools_.end()) pools_.erase(oldest);
}

bool ProjectPools::take(ConnectionPool& pool) {
  if (used_ >= config_.max_connections) {
    ConnectionPool* oldest = nullptr;
    ConnectionPool* largest = nullptr;
    bool is_retiring = false;
    for (auto& [key, other] : pools_) {
      is_retiring = is_retiring || other->retiring() > 0;
      if (other.get() == &pool) continue;
      if (other->connections() > 0 && !other->has_work() &&
          (oldest == nullptr || other->last_used() < oldest->last_used())) {
        oldest = other.get();
      }
      if (largest == nullptr || other->connections() > largest->connections()) {
        largest = other.get();
      }
    }
    if (oldest == nullptr || !oldest->close_idle_connection()) {
      // Everybody is busy. One who has nothing goes before one who has many.
      const bool has_nothing = pool.connections() == 0 && pool.retiring() == 0;
      if (has_nothing && !is_retiring && largest != nullptr && largest->connections() > 1 &&
          !largest->close_idle_connection()) {
        largest->retire_one();
      }
      if (used_ >= config_.max_connections) return false;
    }
  }
  ++used_;
  return true;
}

void ProjectPools::give_back() {
  --used_;
}

void ProjectPools::forget_statements(const std::string& key) {
  if (auto it = pools_.find(key); it != pools_.end()) {
    it->second->forget_statements();
    arm();
  }
}

void ProjectPools::arm() {
  if (is_armed_ || is_shut_) return;
  is_armed_ = true;
  timer_.expires_after(config_.tick);
  timer_.async_wait([this](boost::system::error_code ec) {
    if (!ec) tick();
  });
}

void ProjectPools::tick() {
  is_armed_ = false;
  const auto now = Clock::now();
  bool has_work = false;
  // Completions inside may submit and so add pools: not while iterating.
  std::vector<ConnectionPool*> busy;
  for (auto& [key, pool] : pools_) {
    if (pool->has_work()) busy.push_back(pool.get());
  }
  for (ConnectionPool* pool : busy) {
    pool->tick(now);
    has_work = has_work || pool->has_work();
  }
  if (has_work) arm();
}

void ProjectPools::shutdown() {
  if (std::exchange(is_shut_, true)) return;
  timer_.cancel();
  for (auto& [key, pool] : pools_) pool->shutdown();
}

size_t ProjectPools::in_flight() const {
  size_t n = 0;
  for (const auto& [key, pool] : pools_) n += pool->in_flight();
  return n;
}

size_t ProjectPools::waiting() const {
  size_t n = 0;
  for (const auto& [key, pool] : pools_) n += pool->waiting();
  return n;
}

}  // namespace raymesh::pg
