#include "tests/db/realtime/script_harness.hpp"

#include <poll.h>

#include <boost/asio/post.hpp>
#include <condition_variable>
#include <future>
#include <mutex>

#include "libs/redis/subscriber.hpp"

namespace raymesh::realtime {

using namespace std::chrono_literals;

ScriptTest::ScriptTest(std::vector<std::string> options) : redis_(std::move(options)) {
  connect();
}

void ScriptTest::connect() {
  redis::ClientConfig config;
  config.address = redis::parse_address(redis_.url()).value();
  config.hello = &scripts::hello();
  config.hello_tail.arg(0);
  client_ = std::make_unique<redis::Client>(io_.context(), config);
}

Result<redis::Reply> ScriptTest::eval(const redis::Script& script, redis::Command tail) {
  auto answer = std::make_shared<std::promise<Result<redis::Reply>>>();
  auto future = answer->get_future();
  client_->eval(script, std::move(tail), redis::Effect::kWrite, redis::Client::Clock::now() + 30s,
                [answer](Result<redis::Reply> reply) { answer->set_value(std::move(reply)); });
  return future.get();
}

std::vector<int64_t> ScriptTest::integers(const redis::Reply& reply) {
  std::vector<int64_t> out;
  for (const redis::Reply& item : reply.items) out.push_back(item.integer);
  return out;
}

ScriptTest::Sent ScriptTest::publish(const std::vector<std::string>& payloads, History history,
                                     uint64_t epoch) {
  PublishBatch batch;
  for (const std::string& payload : payloads) batch.add(payload);
  const redis::Reply reply =
      run(scripts::publish(), kChannel, epoch_text(epoch), batch.count(), encode_body(batch, 7, 0),
          1, history.messages, history.bytes, history.ttl_ms, 60'000, ring_, home_);
  if (reply.items.size() != 3) return {};
  return {reply.items[0].text, reply.items[1].integer, reply.items[2].integer};
}

std::string ScriptTest::read_history(uint64_t epoch, int64_t after, int limit, int bytes,
                                     int64_t ttl_ms) {
  const redis::Reply reply =
      run(scripts::history(), kChannel, epoch_text(kOtherEpoch), 60'000,
          epoch ? epoch_text(epoch) : std::string(), after, limit, bytes, ttl_ms, ring_, home_);
  if (reply.items.size() != 4) return "?";
  std::string out;
  const auto& items = reply.items[3].items;
  for (size_t i = 0; i + 1 < items.size(); i += 2)
    out += (out.empty() ? "" : " ") + std::to_string(items[i].integer) + "=" + items[i + 1].text;
  if (reply.items[2].integer == 1) out += " cut";
  return out;
}

std::string ScriptTest::node(int lease_ms) {
  const std::string id = node_text(new_epoch());
  run(scripts::register_node(), id, "node-" + id, lease_ms);
  return id;
}

void ScriptTest::end_lease(const std::string& node) {
  redis_.cli({"DEL", "rm:rt:lease:" + node});
}

std::string ScriptTest::json_of(const std::string& id) {
  return R"({"id":")" + id + R"("})";
}

std::string ScriptTest::enter(const std::string& node, const std::string& id,
                              const std::string& identity, const std::string& token, bool earlier) {
  const redis::Reply reply =
      run(scripts::enter(), kChannel, node, earlier ? "1" : "", id, identity, json_of(id), token);
  return reply.is_string() ? reply.text : std::to_string(reply.integer);
}

int64_t ScriptTest::leave(const std::string& node, const std::string& id, const std::string& token,
                          int handover_ms, const std::string& before) {
  return run(scripts::leave(), kChannel, node, before, id, token, handover_ms, 60'000).integer;
}

ScriptTest::Page ScriptTest::presence(int limit, const PresenceCursor& from) {
  const redis::Reply reply =
      run(scripts::presence(), kChannel, limit, from.node, from.place, ring_);
  Page page;
  if (reply.items.size() != 5) return page;
  page.count = reply.items[0].integer;
  page.identities = reply.items[1].integer;
  page.next = {reply.items[2].text, reply.items[3].text};
  for (const redis::Reply& member : reply.items[4].items) {
    const size_t begin = member.text.find(R"("id":")") + 6;
    page.members.push_back(member.text.substr(begin, member.text.find('"', begin) - begin));
  }
  return page;
}

int ScriptTest::sweep(int budget) {
  for (int calls = 1;; ++calls) {
    const auto answer = integers(run(scripts::sweep(), "me", 900, budget, 60'000));
    if (answer.size() < 2 || answer[1] == 0) return calls;
    EXPECT_LE(answer[0], budget);
  }
}

std::string ScriptTest::keys() {
  return redis_.cli({"KEYS", "rm:rt:*"});
}

bool ScriptTest::wait(const std::function<bool()>& condition, std::chrono::milliseconds timeout) {
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    poll(nullptr, 0, 2);
  }
  return true;
}

// --- TopicLog ---

struct TopicLog::State final : public redis::Subscriber::Owner, public redis::Subscriber::Sink {
  void link_lost() override {}
  void link_up() override {}
  void on_message(std::string_view payload) override {
    const std::lock_guard lock(mutex);
    const TopicMessage message = decode_topic(payload, 1);
    if (const auto* messages = std::get_if<TopicMessages>(&message)) {
      std::string text = "messages " + std::to_string(messages->first.offset) + ":";
      for (size_t i = 0; i < messages->batch->count(); ++i)
        text += (i ? "," : "") + std::string(messages->batch->payload(i));
      got.push_back(text);
    } else if (const auto* events = std::get_if<std::vector<TopicEvent>>(&message)) {
      for (const TopicEvent& event : *events) {
        const std::string json(event.member_json);
        got.push_back((event.joined ? "join " : "leave ") + json.substr(7, json.size() - 9));
      }
    } else {
      got.push_back("?");
    }
    changed.notify_all();
  }

  std::mutex mutex;
  std::condition_variable changed;
  std::vector<std::string> got;  // guarded by mutex
  std::unique_ptr<redis::Subscriber> subscriber;
};

TopicLog::TopicLog(const test::RedisServer& redis, const std::string& topic)
    : state_(std::make_shared<State>()) {
  std::promise<void> ready;
  boost::asio::post(io_.context(), [&] {
    redis::SubscriberConfig config;
    config.link.address = redis::parse_address(redis.url()).value();
    state_->subscriber = std::make_unique<redis::Subscriber>(io_.context(), config, *state_);
    state_->subscriber->subscribe(topic, state_, [&](const Status&) { ready.set_value(); });
  });
  ready.get_future().wait();
}

TopicLog::~TopicLog() {
  std::promise<void> closed;
  boost::asio::post(io_.context(), [&] {
    state_->subscriber.reset();
    closed.set_value();
  });
  closed.get_future().wait();
  io_.stop();
}

std::vector<std::string> TopicLog::take(size_t count) {
  std::unique_lock lock(state_->mutex);
  state_->changed.wait_for(lock, 10s, [&] { return state_->got.size() >= count; });
  return std::exchange(state_->got, {});
}

}  // namespace raymesh::realtime
