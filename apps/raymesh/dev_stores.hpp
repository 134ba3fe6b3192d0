// PostgreSQL and Redis for `raymesh dev`: private servers, or those that the options name. Started
// side by side. Blocking; the command's thread.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "apps/raymesh/data_dir.hpp"
#include "apps/raymesh/dev_options.hpp"
#include "apps/raymesh/dev_secrets.hpp"
#include "apps/raymesh/private_postgres.hpp"
#include "apps/raymesh/private_redis.hpp"
#include "libs/base/result.hpp"

namespace raymesh::cli {

struct RedisLogin {
  std::string url;
  std::string password;
};

class DevStores {
 public:
  /// `folder` outlives the stores. `given_up` runs when a private server keeps ending.
  static Result<std::unique_ptr<DevStores>> start(DataDir& folder, const DevOptions& options,
                                                  const DevSecrets& secrets,
                                                  std::function<void()> given_up);
  /// Until what has been made anew is on the disk.
  Status wait_durable() { return postgres_ ? postgres_->wait_durable() : ok_status(); }
  void stop(std::chrono::milliseconds grace);

  /// Login of an administrator; a secret.
  const std::string& postgres_url() const { return postgres_url_; }
  const RedisLogin& cache() const { return cache_; }
  const RedisLogin& state() const { return state_; }

 private:
  DevStores() = default;
  Status begin(DataDir& folder, const DevOptions& options, const DevSecrets& secrets,
               const std::function<void()>& given_up);
  Status wait_ready();

  std::unique_ptr<PrivatePostgres> postgres_;
  std::unique_ptr<PrivateRedis> private_cache_;
  std::unique_ptr<PrivateRedis> private_state_;
  std::string postgres_url_;
  RedisLogin cache_;
  RedisLogin state_;
};

/// Brings the system schemas to this version and makes project and key, whatever of it is missing.
/// Errors: unavailable, failed_precondition for a newer database.
Status prepare_database(const std::string& postgres_url, const DevSecrets& secrets,
                        const std::string& project, const std::string& api_key);

}  // namespace raymesh::cli
