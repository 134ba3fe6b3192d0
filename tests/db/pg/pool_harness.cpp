#include "tests/db/pg/pool_harness.hpp"

#include <gtest/gtest.h>

#include <thread>

namespace raymesh::testing {
namespace {

struct Collector final : pg::AnswerSink {
  std::promise<Answer> promise;
  Answer answer;

  void begin(const pg::ResultColumns&) override { answer.rows.clear(); }
  bool row(std::span<const pg::Field> fields) override {
    auto& row = answer.rows.emplace_back();
    for (const pg::Field& f : fields) {
      row.push_back(f.is_null() ? std::nullopt : std::optional(std::string(f.text())));
    }
    return true;
  }
  void oversized_row() override { answer.rows.push_back({"oversized"}); }
  void done(pg::Outcome outcome) override {
    answer.outcome = std::move(outcome);
    promise.set_value(std::move(answer));
  }
};

}  // namespace

PoolHarness::PoolHarness(pg::ProjectPools::LoginFor login_for, pg::ProjectPoolsConfig config)
    : pools_(std::make_unique<pg::ProjectPools>(threads_.context(0), config, std::move(login_for),
                                                *this)) {}

PoolHarness::~PoolHarness() {
  on_io([](pg::ProjectPools& pools) { pools.shutdown(); });
  threads_.stop();
}

std::future<Answer> PoolHarness::submit(std::string sql, Values values, bool is_write,
                                        bool runs_foreign_code, std::string key,
                                        std::vector<uint32_t> types) {
  pg::Parameters parameters;
  for (size_t i = 0; i < values.size(); ++i) {
    parameters.add(i < types.size() ? types[i] : 0, values[i]);
  }
  auto collector = std::make_unique<Collector>();
  auto future = collector->promise.get_future();
  auto request = std::make_unique<pg::Request>(sql, std::move(parameters), std::move(collector));
  request->is_write = is_write;
  request->runs_foreign_code = runs_foreign_code;
  threads_.post(0, [this, key = std::move(key), request = std::move(request)]() mutable {
    pools_->submit(key, std::move(request));
  });
  return future;
}

void PoolHarness::wait_until(const std::function<bool()>& condition) {
  const auto deadline = pg::Clock::now() + std::chrono::seconds(30);
  while (!condition()) {
    if (pg::Clock::now() > deadline) {
      ADD_FAILURE() << "waited too long";
      return;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

void PoolHarness::on_io(std::function<void(pg::ProjectPools&)> task) {
  std::promise<void> done;
  threads_.post(0, [&] {
    task(*pools_);
    done.set_value();
  });
  done.get_future().wait();
}

}  // namespace raymesh::testing
