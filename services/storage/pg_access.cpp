#include "services/storage/pg_access.hpp"

#include <algorithm>
#include <future>
#include <utility>

namespace raymesh::storage {

struct PgAccess::Shard {
  Shard(size_t i, boost::asio::io_context& io, const pg::ProjectPoolsConfig& config,
        pg::ProjectPools::LoginFor login_for, pg::PoolEvents& events)
      : index(i), pools(io, config, std::move(login_for), events) {}

  const size_t index;
  pg::ProjectPools pools;
};

PgAccess::PgAccess(size_t threads, const pg::ProjectPoolsConfig& config,
                   pg::ProjectPools::LoginFor login_for, pg::PoolEvents& events)
    : threads_(threads, "pg") {
  pg::ProjectPoolsConfig share = config;
  share.max_connections = std::max<size_t>(config.max_connections / threads_.size(), 1);
  for (size_t i = 0; i < threads_.size(); ++i) {
    shards_.push_back(std::make_unique<Shard>(i, threads_.context(i), share, login_for, events));
  }
}

PgAccess::~PgAccess() {
  stop();
}

PgAccess::Shard& PgAccess::shard(std::string_view key) {
  if (shards_.size() == 1) return *shards_[0];
  return *shards_[std::hash<std::string_view>{}(key) % shards_.size()];
}

void PgAccess::submit(const std::string& key, pg::RequestPtr request) {
  Shard& s = shard(key);
  threads_.post(s.index, [&s, key, request = std::move(request)]() mutable {
    s.pools.submit(key, std::move(request));
  });
}

void PgAccess::submit_here(const std::string& key, pg::RequestPtr request) {
  shard(key).pools.submit(key, std::move(request));
}

void PgAccess::forget_statements(const std::string& key) {
  Shard& s = shard(key);
  threads_.post(s.index, [&s, key] { s.pools.forget_statements(key); });
}

void PgAccess::stop() {
  if (std::exchange(is_stopped_, true)) return;
  for (auto& s : shards_) {
    std::promise<void> done;
    threads_.post(s->index, [&] {
      s->pools.shutdown();
      done.set_value();
    });
    done.get_future().wait();
  }
  threads_.stop();
}

}  // namespace raymesh::storage
