#include "tests/db/realtime/broker_harness.hpp"

#include <poll.h>
#include <unistd.h>

#include <algorithm>

namespace raymesh::realtime {

using namespace std::chrono_literals;

namespace {

constexpr auto kAnswerWithin = 10s;

template <class T, class Ask>
Result<T> ask(Ask begin) {
  auto answer = std::make_shared<std::promise<Result<T>>>();
  auto future = answer->get_future();
  begin([answer](Result<T> result) { answer->set_value(std::move(result)); });
  if (future.wait_for(kAnswerWithin) != std::future_status::ready)
    return Error(errors::kInternal, "no answer in time");
  return future.get();
}

// The value behind `"name":`, up to one of `ends`.
std::string_view value_of(std::string_view line, std::string_view name, char end) {
  const size_t at = line.find("\"" + std::string(name) + "\":");
  if (at == std::string_view::npos) return {};
  line.remove_prefix(at + name.size() + 3);
  return line.substr(0, line.find(end));
}

}  // namespace

TestNode::TestNode(caf::actor_system& actors, Options options)
    : outlets_(std::make_shared<ChannelOutlets>(1)) {
  outlets_->rules = ChannelRules::parse(options.rules).value();
  RedisBrokerConfig config;
  config.urls = options.urls;
  config.presence_timeout = options.presence_timeout;
  config.ping_interval = 100ms;
  config.silence = 500ms;
  EXPECT_TRUE(config.check().ok());
  BrokerNode node{outlets_->rules, options.limits,
                  [this](const std::string& project, const std::string& name) {
                    return registry_->obtain(project, name);
                  },
                  [this](const Revocation& revocation, UniqueFunction<void(uint64_t)> done) {
                    if (on_revoke) on_revoke();
                    {
                      const std::lock_guard lock(mutex_);
                      revoked_.push_back(revocation.value);
                      changed_.notify_all();
                    }
                    done(closes_each);
                  }};
  broker_ = std::make_shared<RedisBroker>(config, actors, std::move(node));
  outlets_->broker = broker_;
  registry_ = std::make_unique<ChannelRegistry>(actors, outlets_, 100'000, [](const ChannelPtr&) {
    ADD_FAILURE() << "a channel actor failed";
  });
  shard_ = std::thread([this] { drain(); });
}

TestNode::~TestNode() {
  if (leaves_at_end)
    for (const auto& [where, place] : places_)
      tell(*place.channel, Leave{place.member->connection, 0ms, place.member->token_id});
  broker_->stop(2s);
  registry_.reset();
  stop_ = true;
  shard_.join();
}

bool TestNode::wait_ready(std::chrono::milliseconds timeout) {
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  while (!broker_->ready().ok()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    poll(nullptr, 0, 5);
  }
  return true;
}

void TestNode::drain() {
  ShardInbox& inbox = *outlets_->shards[0];
  std::vector<InboxItem> items;
  while (!stop_) {
    inbox.take(items);
    {
      const std::lock_guard lock(mutex_);
      for (InboxItem& item : items) take(item);
      changed_.notify_all();
    }
    items.clear();
    if (!inbox.prepare_sleep()) continue;
    pollfd polled{inbox.wake_fd(), POLLIN, 0};
    uint64_t woken;
    if (::poll(&polled, 1, 20) == 1) [[maybe_unused]]
      const auto bytes = ::read(inbox.wake_fd(), &woken, sizeof woken);
    inbox.awake();
  }
}

void TestNode::take(InboxItem& item) {
  if (auto* delivery = std::get_if<Delivery>(&item)) {
    const Span& span = delivery->what.span;
    take_text(delivery->channel->name(), {span.data(), span.size()});
    outlets_->shards[0]->flushed(span.size());
  } else if (auto* lost = std::get_if<Lost>(&item)) {
    Seen& seen = seen_[lost->channel->name()];
    seen.lost.push_back(lost->at);
    seen.at = lost->at;
    seen.at_count = 0;
  } else if (auto* joined = std::get_if<Joined>(&item)) {
    Seen& seen = seen_[joined->channel->name()];
    if (!joined->failure && !seen.at) seen.at = joined->last;
    const auto it = joining_.find(joined->ticket);
    if (it == joining_.end()) return;
    it->second->set_value(std::move(*joined));
    joining_.erase(it);
  }
}

void TestNode::take_text(const std::string& channel, std::string_view text) {
  Seen& seen = seen_[channel];
  for (size_t at = text.find("{\"type\":"); at != std::string_view::npos;
       at = text.find("{\"type\":", at + 1)) {
    const std::string_view line = text.substr(at, text.find('\n', at) - at);
    const std::string_view type = value_of(line, "type", ',');
    if (type == "\"join\"" || type == "\"leave\"") {
      const std::string_view id = value_of(line.substr(line.find("\"member\"")), "id", '}');
      seen.events.push_back(std::string(type.substr(1, type.size() - 2)) + " " +
                            std::string(id.substr(1, id.find('"', 1) - 1)));
      continue;
    }
    if (type == "\"gap\"") {  // of events: watchers are told that some may be missing
      EXPECT_EQ(line, "{\"type\":\"gap\",\"channel\":\"" + channel + "\",\"reason\":\"presence\"}");
      seen.events.push_back("gap");
      continue;
    }
    uint64_t offset = std::stoull(std::string(value_of(line, "offset", ',')));
    std::string payloads(type == "\"messages\"" ? value_of(line, "payloads", ']').substr(1)
                                                : value_of(line, "payload", '}'));
    for (size_t begin = 0; begin <= payloads.size(); ++offset) {
      const size_t end = std::min(payloads.find(',', begin), payloads.size());
      if (offset != seen.at.offset + 1 && seen.broken.empty())
        seen.broken = std::to_string(offset) + " after " + std::to_string(seen.at.offset);
      seen.at.offset = offset;
      seen.offsets.push_back(offset);
      seen.payloads.push_back(payloads.substr(begin, end - begin));
      begin = end + 1;
    }
  }
}

Result<Joined> TestNode::join(const std::string& channel, const std::string& id,
                              const std::string& identity, std::optional<Position> since,
                              const std::string& token) {
  auto member = std::make_shared<Member>();
  const uint32_t ticket = ++last_;
  member->connection = ConnectionId::make(0, ticket, 1);
  member->id = id;
  member->identity = identity;
  member->token_id = "jti-" + (token.empty() ? id : token);
  member->project = kProject;
  const ChannelPtr pinned = registry_->pin(kProject, channel);
  places_[channel + "/" + id] = {member, pinned};
  auto answer = std::make_shared<std::promise<Joined>>();
  auto future = answer->get_future();
  {
    const std::lock_guard lock(mutex_);
    joining_[ticket] = answer;
  }
  Join join;
  join.member = member;
  join.audience = {Dialect::kLines, true};
  join.since = since;
  join.ticket = ticket;
  tell(*pinned, std::move(join));
  if (future.wait_for(kAnswerWithin) != std::future_status::ready)
    return Error(errors::kInternal, "no answer to the join");
  Joined joined = future.get();
  if (!joined.failure) return joined;
  registry_->unpin(pinned);
  places_.erase(channel + "/" + id);
  return *joined.failure;
}

void TestNode::leave(const std::string& channel, const std::string& id,
                     std::chrono::milliseconds handover) {
  const auto it = places_.find(channel + "/" + id);
  ASSERT_NE(it, places_.end());
  tell(*it->second.channel,
       Leave{it->second.member->connection, handover, it->second.member->token_id});
  registry_->unpin(it->second.channel);
  places_.erase(it);
}

ConnectionId TestNode::connection(const std::string& channel, const std::string& id) {
  return places_.at(channel + "/" + id).member->connection;
}

std::future<Result<Published>> TestNode::begin_publish(const std::string& channel,
                                                       const std::vector<std::string>& payloads,
                                                       ConnectionId origin) {
  auto batch = std::make_shared<PublishBatch>(origin);
  for (const std::string& payload : payloads) batch->add(payload);
  auto answer = std::make_shared<std::promise<Result<Published>>>();
  broker_->publish(kProject, channel, registry_->find(kProject, channel), std::move(batch),
                   [answer](Result<Published> result) { answer->set_value(std::move(result)); });
  return answer->get_future();
}

Result<PresencePage> TestNode::presence(const std::string& channel, size_t limit,
                                        const std::string& cursor) {
  return ask<PresencePage>([&](auto done) {
    broker_->presence(kProject, channel, nullptr, {limit, cursor}, std::move(done));
  });
}

Result<HistoryPage> TestNode::history(const std::string& channel, Position since, size_t limit) {
  return ask<HistoryPage>([&](auto done) {
    broker_->history(kProject, channel, nullptr, since, limit, std::move(done));
  });
}

Result<RevokeReport> TestNode::revoke(const Revocation& revocation) {
  return ask<RevokeReport>([&](auto done) { broker_->revoke(revocation, std::move(done)); });
}

Status TestNode::admit(const MemberPtr& member) {
  return ask<Unit>([&](auto done) { broker_->admit(member, std::move(done)); });
}

TestNode::Seen TestNode::seen(const std::string& channel) {
  const std::lock_guard lock(mutex_);
  return seen_[channel];
}

bool TestNode::wait(const std::string& channel, const std::function<bool(const Seen&)>& condition,
                    std::chrono::milliseconds timeout) {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, timeout, [&] { return condition(seen_[channel]); });
}

std::vector<std::string> TestNode::revoked() {
  const std::lock_guard lock(mutex_);
  return revoked_;
}

// --- BrokerTest ---

BrokerTest::BrokerTest(std::vector<std::string> redis_options) : redis_(std::move(redis_options)) {
  config_.set("scheduler.policy", caf::atom("sharing"));
  config_.set("scheduler.max-threads", 2u);
  actors_ = std::make_unique<caf::actor_system>(config_);
}

std::unique_ptr<TestNode> BrokerTest::node(const std::string& url, std::vector<std::string> rules) {
  TestNode::Options options;
  options.urls = {url.empty() ? redis_.url() : url};
  options.rules = std::move(rules);
  auto out = std::make_unique<TestNode>(*actors_, std::move(options));
  EXPECT_TRUE(out->wait_ready());
  return out;
}

std::vector<std::string> BrokerTest::ids(TestNode& node, const std::string& channel) {
  const auto page = node.presence(channel, 10'000);
  std::vector<std::string> out;
  if (!page.ok()) return out;
  const std::string& json = page->members_json;
  for (size_t at = json.find("{\"id\":\""); at != std::string::npos;
       at = json.find("{\"id\":\"", at + 1))
    out.push_back(json.substr(at + 7, json.find('"', at + 7) - at - 7));
  std::sort(out.begin(), out.end());
  return out;
}

bool BrokerTest::wait(const std::function<bool()>& condition, std::chrono::milliseconds timeout) {
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    poll(nullptr, 0, 10);
  }
  return true;
}

}  // namespace raymesh::realtime
