// The pipeline over TCP and TLS, where libpq's SSL object carries our bytes.
#include <grp.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "libs/crypto/certificates.hpp"
#include "tests/db/pg/pool_harness.hpp"
#include "tests/support/postgres_fixture.hpp"

namespace raymesh::testing {
namespace {

class TlsTest : public ::testing::Test {
 protected:
  TlsTest() {
    char name[] = "/tmp/raymesh-tls-XXXXXX";
    folder_ = ::mkdtemp(name);
    crypto::CertificateRequest request;
    request.folder = folder_ + "/certs";
    EXPECT_TRUE(crypto::make_development_certificates(request).ok());
    ::chmod(folder_.c_str(), 0755);
    ::chmod(request.folder.c_str(), 0755);
    certificate_ = request.folder + "/public.pem";
    key_ = request.folder + "/public-key.pem";
    authority_ = request.folder + "/ca.pem";
    ::chmod(certificate_.c_str(), 0644);
    if (::geteuid() == 0) {  // the server reads it as another user
      const group* g = ::getgrnam("postgres");
      EXPECT_EQ(::chown(key_.c_str(), 0, g->gr_gid), 0);
      ::chmod(key_.c_str(), 0640);
    }
  }
  ~TlsTest() override { std::filesystem::remove_all(folder_); }

  std::string folder_, certificate_, key_, authority_;
};

TEST_F(TlsTest, PipelinesOverTls) {
  const int port = PostgresServer::free_port();
  PostgresServer server(
      {"ssl = on", "ssl_cert_file = '" + certificate_ + "'", "ssl_key_file = '" + key_ + "'"},
      port);
  server.execute(
      "CREATE ROLE far LOGIN PASSWORD 'secret'; CREATE SCHEMA f AUTHORIZATION far;"
      "CREATE TABLE f.t (id int); GRANT ALL ON f.t TO far");
  pg::ProjectPoolsConfig config;
  config.pool.max_connections = 2;
  PoolHarness pools(
      [&](const std::string&) -> Result<pg::Login> {
        pg::Login l;
        l.server = "host=localhost port=" + std::to_string(port) +
                   " dbname=postgres sslmode=verify-full sslrootcert=" + authority_;
        l.user = "far";
        l.password = "secret";
        l.schema = "f";
        return l;
      },
      config);
  Answer first = pools.run("SELECT ssl::text FROM pg_stat_ssl WHERE pid = pg_backend_pid()");
  ASSERT_TRUE(first.done()) << first.outcome.error.message;
  EXPECT_EQ(first.value(), "true");

  const std::string big(1'200'000, 'y');
  std::vector<std::future<Answer>> all;
  for (int i = 0; i < 200; ++i) {
    all.push_back(i % 20 == 0 ? pools.submit("SELECT $1::text", {big})
                              : pools.submit("SELECT $1::int", {std::to_string(i)}));
  }
  for (int i = 0; i < 200; ++i) {
    Answer answer = all[static_cast<size_t>(i)].get();
    ASSERT_TRUE(answer.done()) << answer.outcome.error.message;
    EXPECT_EQ(answer.value(), i % 20 == 0 ? big : std::to_string(i));
  }

  auto write = pools.submit("INSERT INTO f.t SELECT 1 FROM pg_sleep(20)", {}, true);
  PoolHarness::wait_until([&] {
    return server.query(
               "SELECT count(*) FROM pg_stat_activity WHERE usename = 'far' AND state = "
               "'active'") != "0";
  });
  server.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'far'");
  EXPECT_EQ(write.get().code(), "outcome_unknown");
  EXPECT_EQ(pools.run("SELECT 1").value(), "1");
}

}  // namespace
}  // namespace raymesh::testing
