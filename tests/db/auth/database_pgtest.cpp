#include "services/auth/database.hpp"

#include <caf/actor_system.hpp>

#include "libs/crypto/random.hpp"
#include "services/auth/probe.hpp"
#include "services/auth/user_store.hpp"
#include "tests/db/auth/auth_fixture.hpp"

namespace raymesh::auth {
namespace {

class DatabaseTest : public AuthFixture {
 protected:
  Probe probe_{*metrics_};

  template <class T>
  Result<T> run(Database& database, UniqueFunction<Result<T>(pg::Session&)> statements) {
    std::promise<Result<T>> answer;
    database.run<T>(std::move(statements),
                    [&](Result<T> result) { answer.set_value(std::move(result)); });
    return answer.get_future().get();
  }
};

Result<std::string> backend(pg::Session& session) {
  return std::string(session.query("SELECT pg_backend_pid()").text(0, 0));
}

TEST_F(DatabaseTest, KeepsItsSession) {
  Database database(actors_.get(), {.url = auth_url(), .sessions = 1}, probe_);
  EXPECT_EQ(run<std::string>(database, backend).value(),
            run<std::string>(database, backend).value());
}

TEST_F(DatabaseTest, RunsAgainOnANewSessionWhenTheOldOneWasKilled) {
  Database database(actors_.get(), {.url = auth_url(), .sessions = 1}, probe_);
  const auto pid = run<std::string>(database, backend).value();
  migrated_server().execute("SELECT pg_terminate_backend(" + pid + ", 5000)");
  int runs = 0;
  auto result = run<int>(database, [&](pg::Session& session) -> Result<int> {
    ++runs;
    auto answer = session.query("SELECT 42");
    RAYMESH_CHECK_OK(answer.status(errors::kInternal, "select"));
    return std::stoi(std::string(answer.text(0, 0)));
  });
  EXPECT_EQ(result.value(), 42);
  EXPECT_EQ(runs, 2);
}

TEST_F(DatabaseTest, StatementsHaveATimeLimit) {
  Database database(
      actors_.get(),
      {.url = auth_url(), .sessions = 1, .statement_timeout = std::chrono::milliseconds(50)},
      probe_);
  auto result = run<Unit>(database, [](pg::Session& session) {
    return session.query("SELECT pg_sleep(30)").status(errors::kInternal, "sleep");
  });
  EXPECT_EQ(code_of(result), "internal");
}

TEST_F(DatabaseTest, AFullQueueRefuses) {
  Database database(actors_.get(), {.url = auth_url(), .sessions = 1, .max_queued = 1}, probe_);
  std::promise<void> running;
  std::promise<void> release;
  std::promise<void> done;
  database.run<Unit>(
      [&](pg::Session&) -> Status {
        running.set_value();
        release.get_future().wait();
        return ok_status();
      },
      [](const Status&) {});
  running.get_future().wait();
  database.run<std::string>(backend, [&](const Result<std::string>&) { done.set_value(); });
  EXPECT_EQ(code_of(run<std::string>(database, backend)), "overloaded");
  release.set_value();
  done.get_future().wait();
}

TEST_F(DatabaseTest, WithoutAServerItAnswersUnavailable) {
  Database database(actors_.get(), {.url = "host=/nonexistent", .sessions = 2}, probe_);
  EXPECT_EQ(code_of(run<std::string>(database, backend)), "unavailable");
  EXPECT_EQ(code_of(run<std::string>(database, backend)), "unavailable");
  EXPECT_EQ(code_of(database.state()), "unavailable");
}

TEST_F(DatabaseTest, TellsAMissingSchema) {
  raymesh::testing::PostgresServer empty;
  Database database(actors_.get(), {.url = empty.admin_url(), .sessions = 1}, probe_);
  Status state = ok_status();
  wait_for([&] {
    state = database.state();
    return !state.ok() && state.error().message.find("migrate") != std::string::npos;
  });
  EXPECT_EQ(code_of(state), "unavailable");
}

TEST_F(DatabaseTest, ExpiredSessionsAreDeletedInBatches) {
  const auto project = new_project();
  auto user = signup(project, "ada@example.org", "correct horse").value().user_id();
  const std::string values = "SELECT gen_random_uuid(), '" + project + "', '" + user + "', ";
  migrated_server().execute(
      "INSERT INTO raymesh_auth.sessions (jti, project_id, user_id, expires_at) " + values +
      "now() - interval '2 days' FROM generate_series(1, 25)");
  migrated_server().execute(
      "INSERT INTO raymesh_auth.sessions (jti, project_id, user_id, expires_at) " + values +
      "now() - interval '1 hour' FROM generate_series(1, 5)");
  auto session = pg::Session::connect(auth_url()).value();
  size_t removed = 0;
  while (auto batch = delete_expired_sessions(session, 10).value()) {
    EXPECT_LE(batch, 10u);
    removed += batch;
  }
  EXPECT_GE(removed, 25u);
  EXPECT_EQ(migrated_server().query("SELECT count(*) FROM raymesh_auth.sessions WHERE user_id = '" +
                                    user + "'"),
            "5");
}

}  // namespace
}  // namespace raymesh::auth
