// The pools of a test: an I/O thread of their own and a way to run statements from the test's
// thread.
#pragma once

#include <atomic>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <boost/asio/io_context.hpp>

#include "libs/net/io_threads.hpp"
#include "libs/pg/project_pools.hpp"

namespace raymesh::testing {

struct Answer {
  pg::Outcome outcome;
  std::vector<std::vector<std::optional<std::string>>> rows;

  bool done() const { return outcome.kind == pg::Outcome::Kind::kDone; }
  std::string sqlstate() const {
    return outcome.server_error ? outcome.server_error->sqlstate : std::string();
  }
  std::string code() const {
    return outcome.kind == pg::Outcome::Kind::kFailed ? std::string(outcome.error.code()) : "";
  }
  std::string value() const { return rows.at(0).at(0).value_or("NULL"); }
};

class PoolHarness : public pg::PoolEvents {
 public:
  using Values = std::vector<std::optional<std::string>>;

  PoolHarness(pg::ProjectPools::LoginFor login_for, pg::ProjectPoolsConfig config = {});
  ~PoolHarness() override;

  std::future<Answer> submit(std::string sql, Values values = {}, bool is_write = false,
                             bool runs_foreign_code = false, std::string key = "p",
                             std::vector<uint32_t> types = {});
  Answer run(std::string sql, Values values = {}) { return submit(sql, values).get(); }
  /// Until `condition` holds; fails the test after 10 s.
  static void wait_until(const std::function<bool()>& condition);
  Answer write(std::string sql, Values values = {}) { return submit(sql, values, true).get(); }
  /// Runs on the I/O thread and waits.
  void on_io(std::function<void(pg::ProjectPools&)> task);

  std::atomic<int> opened{0}, closed{0}, lost{0}, tainted{0}, terminated{0}, retried{0}, rescued{0},
      refused{0};

 private:
  void connection_opened() override { ++opened; }
  void connection_closed() override { ++closed; }
  void connection_lost() override { ++lost; }
  void session_tainted() override { ++tainted; }
  void session_terminated() override { ++terminated; }
  void request_retried() override { ++retried; }
  void request_rescued() override { ++rescued; }
  void wait_refused() override { ++refused; }

  net::IoThreads threads_{1, "test-pg"};
  std::unique_ptr<pg::ProjectPools> pools_;
};

}  // namespace raymesh::testing
