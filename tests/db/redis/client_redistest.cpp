#include "libs/redis/client.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/write.hpp>
#include <future>
#include <thread>

#include "libs/redis/script.hpp"
#include "tests/support/io_thread.hpp"
#include "tests/support/redis_fixture.hpp"

namespace raymesh::redis {
namespace {

using namespace std::chrono_literals;
using Clock = Client::Clock;

Result<Reply> ask(Client& client, Command command, Effect effect = Effect::kWrite,
                  Clock::duration timeout = 10s) {
  auto answer = std::make_shared<std::promise<Result<Reply>>>();
  auto future = answer->get_future();
  client.call(std::move(command), effect, Clock::now() + timeout,
              [answer](Result<Reply> r) { answer->set_value(std::move(r)); });
  return future.get();
}

ClientConfig config_for(const std::string& url) {
  ClientConfig config;
  config.address = parse_address(url).value();
  return config;
}

// Asks until Redis answers: the condition that tests wait for.
bool answers_again(Client& client) {
  auto deadline = Clock::now() + 20s;
  while (Clock::now() < deadline)
    if (ask(client, Command("PING"), Effect::kRead).ok()) return true;
  return false;
}

// A slot is freed just after its answer was given.
void wait_until_idle(const Client& client) {
  while (client.stats().outstanding != 0) std::this_thread::yield();
}

class RedisClientTest : public ::testing::Test {
 protected:
  test::RedisServer redis_;
  test::IoThread io_;
};

TEST_F(RedisClientTest, AnswersEveryTypeOfReply) {
  Client client(io_.context(), config_for(redis_.url()));
  EXPECT_TRUE(ask(client, Command("SET", "k", "v"))->is_status("OK"));
  EXPECT_EQ(ask(client, Command("GET", "k"))->text, "v");
  EXPECT_TRUE(ask(client, Command("GET", "none"))->is_nil());
  EXPECT_EQ(ask(client, Command("INCRBY", "n", -5))->integer, -5);
  ask(client, Command("RPUSH", "l", "a", "b")).ok();
  auto list = ask(client, Command("LRANGE", "l", 0, -1));
  ASSERT_TRUE(list.ok());
  ASSERT_EQ(list->items.size(), 2u);
  EXPECT_EQ(list->items[1].text, "b");
  auto wrong = ask(client, Command("GET", "l"));
  ASSERT_FALSE(wrong.ok());
  EXPECT_TRUE(wrong.error().is(errors::kWrongType));
  auto bad = ask(client, Command("NOSUCHCOMMAND"));
  ASSERT_FALSE(bad.ok());
  EXPECT_TRUE(bad.error().is(errors::kInternal));
}

TEST_F(RedisClientTest, CarriesBinaryAndLargeValues) {
  Client client(io_.context(), config_for(redis_.url()));
  std::string value;
  for (size_t i = 0; i < (8u << 20); ++i) value.push_back(static_cast<char>(i * 31));
  EXPECT_TRUE(ask(client, Command("SET", "big", value)).ok());
  auto back = ask(client, Command("GET", "big"));
  ASSERT_TRUE(back.ok());
  EXPECT_TRUE(back->text == value);
}

TEST_F(RedisClientTest, KeepsTheOrderForManyThreads) {
  Client client(io_.context(), config_for(redis_.url()));
  constexpr int kThreads = 4, kEach = 20'000;
  std::atomic<int> right{0}, answered{0};
  std::promise<void> all;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < kEach; ++i) {
        std::string text = std::to_string(t) + ":" + std::to_string(i);
        while (client.stats().outstanding > 30'000) std::this_thread::yield();
        client.call(Command("ECHO", text), Effect::kRead, Clock::now() + 30s,
                    [&, text](Result<Reply> r) {
                      if (r.ok() && r->text == text) ++right;
                      if (++answered == kThreads * kEach) all.set_value();
                    });
      }
    });
  for (auto& thread : threads) thread.join();
  all.get_future().wait();
  EXPECT_EQ(right, kThreads * kEach);
  wait_until_idle(client);
}

TEST_F(RedisClientTest, LogsInAndSelects) {
  test::RedisServer locked({"--requirepass", "sesame"});
  ClientConfig config = config_for(locked.url() + "?database=3");
  config.address.password = "sesame";
  Client client(io_.context(), config);
  EXPECT_TRUE(ask(client, Command("SET", "k", "v")).ok());
  EXPECT_NE(ask(client, Command("CLIENT", "INFO"))->text.find(" db=3 "), std::string::npos);

  config.address.password = "wrong";
  Client refused(io_.context(), config);
  auto answer = ask(refused, Command("PING"));
  ASSERT_FALSE(answer.ok());
  EXPECT_TRUE(answer.error().is(errors::kUnavailable));
  EXPECT_EQ(answer.error().message.find("wrong"), std::string::npos);
}

TEST_F(RedisClientTest, RunsScriptsAlsoAfterRedisForgotThem) {
  static const Script script("return {KEYS[1], ARGV[1]}");
  ClientConfig config = config_for(redis_.url());
  config.scripts = {&script};
  Client client(io_.context(), config);
  auto run = [&] {
    auto answer = std::make_shared<std::promise<Result<Reply>>>();
    auto future = answer->get_future();
    Command tail;
    tail.arg(1).arg("key").arg("value");
    client.eval(script, std::move(tail), Effect::kWrite, Clock::now() + 10s,
                [answer](Result<Reply> r) { answer->set_value(std::move(r)); });
    return future.get();
  };
  auto first = run();
  ASSERT_TRUE(first.ok()) << first.error().message;
  EXPECT_EQ(first->items[1].text, "value");
  EXPECT_EQ(redis_.cli({"SCRIPT", "EXISTS", script.digest()}), "1");
  redis_.cli({"SCRIPT", "FLUSH"});
  auto again = run();
  ASSERT_TRUE(again.ok()) << again.error().message;
  EXPECT_EQ(redis_.cli({"SCRIPT", "EXISTS", script.digest()}), "1");
}

TEST_F(RedisClientTest, RefusesMoreThanItsBounds) {
  ClientConfig config = config_for(redis_.url());
  config.max_commands = 10;
  config.max_bytes = 10'000;
  Client client(io_.context(), config);
  ASSERT_TRUE(ask(client, Command("PING")).ok());
  wait_until_idle(client);
  redis_.pause();
  std::atomic<int> overloaded{0}, answered{0};
  std::promise<void> all;
  auto done = [&](Result<Reply> r) {
    if (!r.ok() && r.error().is(errors::kOverloaded) && r.error().retry_after.count() > 0)
      ++overloaded;
    if (++answered == 15) all.set_value();
  };
  for (int i = 0; i < 15; ++i)
    client.call(Command("PING"), Effect::kRead, Clock::now() + 10s, done);
  EXPECT_EQ(overloaded, 5);
  redis_.resume();
  all.get_future().wait();
  wait_until_idle(client);
  auto big = ask(client, Command("SET", "k", std::string(20'000, 'x')));
  ASSERT_FALSE(big.ok());
  EXPECT_TRUE(big.error().is(errors::kOverloaded));
  EXPECT_TRUE(ask(client, Command("PING")).ok());
  EXPECT_EQ(client.stats().refused, 6u);
}

TEST_F(RedisClientTest, KeepsDeadlines) {
  Client client(io_.context(), config_for(redis_.url()));
  ASSERT_TRUE(ask(client, Command("PING")).ok());
  redis_.pause();
  auto before = Clock::now();
  auto late = ask(client, Command("ECHO", "late"), Effect::kRead, 100ms);
  ASSERT_FALSE(late.ok());
  EXPECT_TRUE(late.error().is(errors::kDeadlineExceeded));
  EXPECT_GE(Clock::now() - before, 100ms);
  redis_.resume();
  // The late reply goes to nobody, and the next one to the right caller.
  EXPECT_EQ(ask(client, Command("ECHO", "next"))->text, "next");
  EXPECT_EQ(client.stats().breaks, 0u);
}

TEST_F(RedisClientTest, LeavesAServerThatStoppedAnswering) {
  ClientConfig config = config_for(redis_.url());
  config.stall_timeout = 300ms;
  config.connect_timeout = 300ms;
  Client client(io_.context(), config);
  ASSERT_TRUE(ask(client, Command("PING")).ok());
  std::this_thread::yield();
  redis_.pause();
  auto write = ask(client, Command("SET", "k", "v"), Effect::kWrite, 30s);
  ASSERT_FALSE(write.ok());
  EXPECT_TRUE(write.error().is(errors::kOutcomeUnknown));
  auto read = ask(client, Command("GET", "k"), Effect::kRead, 30s);
  ASSERT_FALSE(read.ok());
  EXPECT_TRUE(read.error().is(errors::kUnavailable));
  redis_.resume();
  EXPECT_TRUE(answers_again(client));
}

TEST_F(RedisClientTest, ComesBackAfterRedisDoes) {
  Client client(io_.context(), config_for(redis_.url()));
  ASSERT_TRUE(ask(client, Command("PING")).ok());
  redis_.kill();
  auto gone = ask(client, Command("PING"), Effect::kRead);
  ASSERT_FALSE(gone.ok());
  EXPECT_TRUE(gone.error().is(errors::kUnavailable));
  EXPECT_FALSE(client.ready());
  auto before = Clock::now();
  EXPECT_FALSE(ask(client, Command("PING"), Effect::kRead).ok());
  EXPECT_LT(Clock::now() - before, 1s) << "while Redis is known to be away, nobody waits";
  redis_.start();
  EXPECT_TRUE(answers_again(client));
  EXPECT_EQ(client.stats().breaks, 1u);
}

// A server of the test's own, for what a real Redis does not do: break in the middle.
class RudeServer {
 public:
  explicit RudeServer(boost::asio::io_context& io)
      : path_("/tmp/raymesh-rude-" + std::to_string(getpid()) + ".sock"),
        acceptor_(io,
                  boost::asio::local::stream_protocol::endpoint((unlink(path_.c_str()), path_))),
        socket_(io) {}
  ~RudeServer() { unlink(path_.c_str()); }

  std::string url() const { return "unix:" + path_; }
  // Takes a connection and answers its handshake (SETNAME, PING).
  void welcome() {
    acceptor_.accept(socket_);
    read_until("PING");
    send("+OK\r\n+PONG\r\n");
  }
  void read_until(const std::string& what) {
    std::string got;
    char buffer[4096];
    while (got.find(what) == std::string::npos)
      got.append(buffer, socket_.read_some(boost::asio::buffer(buffer)));
  }
  void send(const std::string& bytes) { boost::asio::write(socket_, boost::asio::buffer(bytes)); }
  void hang_up() { socket_.close(); }

 private:
  std::string path_;
  boost::asio::local::stream_protocol::acceptor acceptor_;
  boost::asio::local::stream_protocol::socket socket_;
};

TEST_F(RedisClientTest, RepeatsReadsOnceAndNeverWrites) {
  boost::asio::io_context own;
  RudeServer server(own);
  Client client(io_.context(), config_for(server.url()));
  server.welcome();
  // Old enough that it is made again at once.
  auto old = Clock::now() + 150ms;
  while (Clock::now() < old) std::this_thread::yield();

  std::promise<Result<Reply>> read, write;
  client.call(Command("GET", "r"), Effect::kRead, Clock::now() + 10s,
              [&](Result<Reply> r) { read.set_value(std::move(r)); });
  client.call(Command("SET", "w", "last"), Effect::kWrite, Clock::now() + 10s,
              [&](Result<Reply> r) { write.set_value(std::move(r)); });
  server.read_until("last");
  server.hang_up();
  auto unknown = write.get_future().get();
  ASSERT_FALSE(unknown.ok());
  EXPECT_TRUE(unknown.error().is(errors::kOutcomeUnknown));

  server.welcome();
  server.read_until("GET");
  server.send("$3\r\nyes\r\n");
  auto repeated = read.get_future().get();
  ASSERT_TRUE(repeated.ok()) << repeated.error().message;
  EXPECT_EQ(repeated->text, "yes");
}

TEST_F(RedisClientTest, LeavesAServerThatTalksNonsense) {
  boost::asio::io_context own;
  RudeServer server(own);
  Client client(io_.context(), config_for(server.url()));
  server.welcome();
  std::promise<Result<Reply>> answer;
  client.call(Command("INCR", "n"), Effect::kWrite, Clock::now() + 10s,
              [&](Result<Reply> r) { answer.set_value(std::move(r)); });
  server.read_until("INCR");
  server.send("HTTP/1.1 200 OK\r\n");
  auto result = answer.get_future().get();
  ASSERT_FALSE(result.ok());
  EXPECT_TRUE(result.error().is(errors::kOutcomeUnknown));
  EXPECT_EQ(client.stats().breaks, 1u);
}

TEST_F(RedisClientTest, AnswersEverythingWhenItCloses) {
  auto client = std::make_unique<Client>(io_.context(), config_for(redis_.url()));
  ASSERT_TRUE(ask(*client, Command("PING")).ok());
  redis_.pause();
  std::atomic<int> answered{0};
  std::promise<void> all;
  for (int i = 0; i < 100; ++i)
    client->call(Command("PING"), Effect::kRead, Clock::now() + 60s, [&](Result<Reply> r) {
      EXPECT_FALSE(r.ok());
      if (++answered == 100) all.set_value();
    });
  client.reset();
  all.get_future().wait();
  redis_.resume();
}

}  // namespace
}  // namespace raymesh::redis
