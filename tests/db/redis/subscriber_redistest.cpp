#include "libs/redis/subscriber.hpp"

#include <gtest/gtest.h>

#include <boost/asio/post.hpp>
#include <condition_variable>
#include <future>
#include <map>
#include <mutex>

#include "libs/redis/client.hpp"
#include "libs/redis/script.hpp"
#include "tests/support/io_thread.hpp"
#include "tests/support/link_proxy.hpp"
#include "tests/support/redis_fixture.hpp"

namespace raymesh::redis {
namespace {

using namespace std::chrono_literals;
using test::LinkProxy;

class SubscriberTest : public ::testing::Test, public Subscriber::Owner {
 protected:
  class Inbox final : public Subscriber::Sink {
   public:
    Inbox(SubscriberTest& test, std::string topic) : test_(test), topic_(std::move(topic)) {}
    void on_message(std::string_view payload) override {
      test_.note([&] { test_.got_[topic_].emplace_back(payload); });
    }

   private:
    SubscriberTest& test_;
    const std::string topic_;
  };

  void SetUp() override { open(redis_.url()); }
  void TearDown() override {
    on_thread([this] { subscriber_.reset(); });
    io_.stop();
  }

  void open(const std::string& url) {
    SubscriberConfig config;
    config.link.address = parse_address(url).value();
    config.ping_interval = 50ms;
    config.silence = 300ms;
    config.batch = batch_;
    config.hello = hello_;
    config.hello_tail.arg(0);
    const int ups = ups_;
    on_thread([&] {
      subscriber_.reset();
      subscriber_ = std::make_unique<Subscriber>(io_.context(), config, *this);
    });
    ASSERT_TRUE(wait_up(ups + 1));
  }

  template <class F>
  void on_thread(F f) {
    std::promise<void> done;
    boost::asio::post(io_.context(), [&] {
      f();
      done.set_value();
    });
    done.get_future().wait();
  }
  template <class F>
  void note(F f) {
    const std::lock_guard lock(mutex_);
    f();
    changed_.notify_all();
  }
  template <class F>
  bool wait(F condition, std::chrono::milliseconds timeout = 20s) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, timeout, condition);
  }

  std::future<Status> begin_subscribe(const std::string& topic) {
    auto answer = std::make_shared<std::promise<Status>>();
    on_thread([&] {
      subscriber_->subscribe(topic, std::make_shared<Inbox>(*this, topic),
                             [answer](Status status) { answer->set_value(std::move(status)); });
    });
    return answer->get_future();
  }
  Status subscribe(const std::string& topic) { return begin_subscribe(topic).get(); }
  bool wait_up(int times) {
    return wait([&] { return ups_ >= times; });
  }
  std::string publish(const std::string& topic, const std::string& text) {
    return redis_.cli({"SPUBLISH", topic, text});
  }

  bool may_deliver() override { return may_deliver_; }
  void link_lost() override {
    note([this] { ++losses_; });
  }
  void link_up() override {
    note([this] { ++ups_; });
  }

  test::RedisServer redis_;
  test::IoThread io_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::string, std::vector<std::string>> got_;  // guarded by mutex_
  int ups_ = 0;                                          // guarded by mutex_
  int losses_ = 0;                                       // guarded by mutex_
  std::atomic<bool> may_deliver_{true};
  size_t batch_ = 500;
  const Script* hello_ = nullptr;
  std::unique_ptr<Subscriber> subscriber_;
};

TEST_F(SubscriberTest, BringsWhatIsPublishedAfterTheAnswer) {
  ASSERT_TRUE(subscribe("a").ok());
  ASSERT_TRUE(subscribe("b").ok());
  const std::string big(300'000, 'x');
  publish("a", "one");
  publish("b", "");
  publish("a", "two");
  publish("c", "for nobody");
  {
    // Too long for a command line.
    ClientConfig config;
    config.address = parse_address(redis_.url()).value();
    Client client(io_.context(), config);
    std::promise<void> sent;
    client.call(Command("SPUBLISH", "b", big), Effect::kWrite, Client::Clock::now() + 10s,
                [&](const Result<Reply>&) { sent.set_value(); });
    sent.get_future().wait();
  }
  ASSERT_TRUE(wait([&] { return got_["a"].size() == 2 && got_["b"].size() == 2; }));
  EXPECT_EQ(got_["a"], (std::vector<std::string>{"one", "two"}));
  EXPECT_EQ(got_["b"], (std::vector<std::string>{"", big}));
  EXPECT_EQ(subscriber_->stats().messages, 4u);
}

TEST_F(SubscriberTest, EndsASubscription) {
  ASSERT_TRUE(subscribe("a").ok());
  ASSERT_TRUE(subscribe("b").ok());
  on_thread([this] { subscriber_->unsubscribe("a"); });
  ASSERT_TRUE(subscribe("c").ok());
  EXPECT_EQ(publish("a", "late"), "0");
  publish("b", "b");
  ASSERT_TRUE(wait([&] { return got_["b"].size() == 1; }));
  EXPECT_TRUE(got_["a"].empty());
  ASSERT_TRUE(subscribe("a").ok()) << "again";
  publish("a", "again");
  ASSERT_TRUE(wait([&] { return got_["a"].size() == 1; }));
  EXPECT_EQ(subscribe("a").error().code(), "internal") << "one subscription per topic";
}

TEST_F(SubscriberTest, SubscribesToEverythingAgainInBatches) {
  batch_ = 7;
  LinkProxy proxy(redis_.socket());
  open(proxy.url());
  for (int i = 0; i < 150; ++i) ASSERT_TRUE(subscribe("t" + std::to_string(i)).ok());
  const int ups = ups_;
  proxy.reset();
  ASSERT_TRUE(wait_up(ups + 1));
  EXPECT_EQ(losses_, 1);
  for (int i = 0; i < 150; ++i) EXPECT_EQ(publish("t" + std::to_string(i), "x"), "1");
  ASSERT_TRUE(wait([&] { return got_.size() == 150; }));
}

TEST_F(SubscriberTest, NoticesALinkThatIsOnlyHalfOpen) {
  LinkProxy proxy(redis_.socket());
  open(proxy.url());
  ASSERT_TRUE(subscribe("a").ok());
  for (const auto mode :
       {LinkProxy::Mode::kStall, LinkProxy::Mode::kStallBack, LinkProxy::Mode::kStallForth}) {
    const int losses = losses_;
    const int ups = ups_;
    const auto before = std::chrono::steady_clock::now();
    proxy.set(mode);
    ASSERT_TRUE(wait([&] { return losses_ > losses; }));
    EXPECT_LT(std::chrono::steady_clock::now() - before, 5s);
    proxy.set(LinkProxy::Mode::kPass);
    ASSERT_TRUE(wait_up(ups + 1));
  }
  publish("a", "back");
  ASSERT_TRUE(wait([&] { return got_["a"].size() == 1; }));
}

TEST_F(SubscriberTest, ComesBackAfterRedisDoes) {
  ASSERT_TRUE(subscribe("a").ok());
  redis_.kill();
  ASSERT_TRUE(wait([&] { return losses_ == 1; }));
  const auto before = std::chrono::steady_clock::now();
  Status refused = ok_status();
  // The first attempt to connect again may still be under way.
  while (std::chrono::steady_clock::now() < before + 20s) {
    refused = subscribe("b");
    if (!refused.ok()) break;
  }
  ASSERT_FALSE(refused.ok());
  EXPECT_TRUE(refused.error().is(errors::kUnavailable));
  redis_.start();
  ASSERT_TRUE(wait_up(2));
  EXPECT_EQ(publish("b", "x"), "0") << "a refused subscription is none";
  EXPECT_EQ(publish("a", "x"), "1");
  ASSERT_TRUE(wait([&] { return got_["a"].size() == 1; }));
}

TEST_F(SubscriberTest, AnswersASubscribeThatTheLinkSwallows) {
  LinkProxy proxy(redis_.socket());
  open(proxy.url());
  ASSERT_TRUE(subscribe("a").ok());
  proxy.set(LinkProxy::Mode::kStall);
  auto answer = begin_subscribe("b");
  ASSERT_EQ(answer.wait_for(20s), std::future_status::ready);
  EXPECT_TRUE(answer.get().error().is(errors::kUnavailable));
}

TEST_F(SubscriberTest, KeepsNothingForAPausedReader) {
  ASSERT_TRUE(subscribe("a").ok());
  on_thread([this] { subscriber_->pause(true); });
  // Longer than silence would be borne: who does not read is not cut for it.
  const auto until = std::chrono::steady_clock::now() + 700ms;
  int sent = 0;
  while (std::chrono::steady_clock::now() < until) {
    publish("a", "x");
    ++sent;
  }
  // One read was under way when it paused.
  EXPECT_LE(got_["a"].size(), 1u);
  EXPECT_EQ(losses_, 0);
  on_thread([this] { subscriber_->pause(false); });
  ASSERT_TRUE(wait([&] { return got_["a"].size() == static_cast<size_t>(sent); }));
  EXPECT_EQ(losses_, 0);
}

TEST_F(SubscriberTest, DeliversNothingThatItsOwnerForbids) {
  ASSERT_TRUE(subscribe("a").ok());
  const int ups = ups_;
  may_deliver_ = false;
  publish("a", "forbidden");
  ASSERT_TRUE(wait([&] { return losses_ == 1; }));
  may_deliver_ = true;
  ASSERT_TRUE(wait_up(ups + 1));
  publish("a", "allowed");
  ASSERT_TRUE(wait([&] { return !got_["a"].empty(); }));
  EXPECT_EQ(got_["a"][0], "allowed");
}

TEST_F(SubscriberTest, RunsItsScriptOnEveryConnection) {
  static const Script hello("return redis.call('INCR', 'hellos')");
  hello_ = &hello;
  open(redis_.url());
  ASSERT_TRUE(subscribe("a").ok());
  EXPECT_EQ(redis_.cli({"GET", "hellos"}), "1");
  const int ups = ups_;
  on_thread([this] { subscriber_->restart("test"); });
  ASSERT_TRUE(wait_up(ups + 1));
  EXPECT_EQ(redis_.cli({"GET", "hellos"}), "2");
}

}  // namespace
}  // namespace raymesh::redis
