#include "services/realtime/redis_broker.hpp"

#include <boost/asio/post.hpp>
#include <future>
#include <thread>

#include "libs/actor/loop_unit.hpp"
#include "libs/net/wheel_driver.hpp"
#include "libs/telemetry/log.hpp"
#include "services/realtime/connection_counts.hpp"
#include "services/realtime/redis_keys.hpp"
#include "services/realtime/redis_scripts.hpp"
#include "services/realtime/revocation_exchange.hpp"

namespace raymesh::realtime {
namespace {

using redis::Effect;
using redis::Reply;
using std::chrono::microseconds;
using std::chrono::milliseconds;

constexpr std::chrono::seconds kAnswerTimeout{3};
constexpr milliseconds kTick{100};
constexpr milliseconds kPausedTick{10};
// What sweeping and noticing take of the presence timeout.
constexpr milliseconds kSweepShare{2'000};
constexpr milliseconds kMinLease{1'000};
// One call of a script reads at most so much at once.
constexpr size_t kPageMembers = 1'000;
constexpr size_t kPageMessages = 1'000;
constexpr size_t kPageBytes = 1u << 20;
// Pages of one read of history, while its channel may go on faster than it is read.
constexpr int kMaxPages = 1'000;

redis::Client::Clock::time_point deadline() {
  return redis::Client::Clock::now() + kAnswerTimeout;
}

/// Answers also when it is dropped: a task that never ran because the broker was stopped.
template <class T>
class Ensured {
 public:
  explicit Ensured(UniqueFunction<void(Result<T>)> done) : done_(std::move(done)) {}
  Ensured(Ensured&&) noexcept = default;
  Ensured& operator=(Ensured&&) = delete;
  ~Ensured() {
    if (done_)
      done_(Error(errors::kUnavailable, "the broker is stopped", std::chrono::milliseconds(1000)));
  }
  void operator()(Result<T> result) { std::exchange(done_, nullptr)(std::move(result)); }

 private:
  UniqueFunction<void(Result<T>)> done_;
};

template <class T>
UniqueFunction<void(Result<T>)> ensure(UniqueFunction<void(Result<T>)> done) {
  return Ensured<T>(std::move(done));
}

redis::ClientConfig client_config() {
  redis::ClientConfig config;
  config.client_name = "raymesh-realtime";
  config.scripts = {&scripts::register_node(), &scripts::renew(),    &scripts::sweep(),
                    &scripts::publish(),       &scripts::position(), &scripts::history(),
                    &scripts::enter(),         &scripts::leave(),    &scripts::watch(),
                    &scripts::presence(),      &scripts::admit(),    &scripts::dismiss(),
                    &scripts::recount(),       &scripts::revoke()};
  config.hello = &scripts::hello();
  config.hello_tail.arg(0);
  config.stall_timeout = milliseconds(3'000);
  return config;
}

}  // namespace

struct RedisBroker::Loop final : net::WheelTimer {
  Loop(RedisBroker& b, boost::asio::io_context& io, caf::actor_system& actors)
      : broker(b), unit(actors), wheel(io, kPausedTick) {}
  void on_timeout() override { broker.tick(); }

  RedisBroker& broker;
  actor::LoopUnit unit;
  net::WheelDriver wheel;
  bool running = false;
  bool posted = false;
};

// Until its limit is reached or nothing is left.
struct RedisBroker::HistoryRead {
  std::string key;
  const ChannelRule& rule;
  Position since;
  size_t limit;
  Answer<HistoryPage> done;
  HistoryPage page;
  int pages = 0;
};

struct RedisBroker::PresenceRead {
  std::string key;
  size_t limit;
  PresenceCursor cursor;
  Answer<PresencePage> done;
  PresencePage page;
  size_t members = 0;
};

Status RedisBrokerConfig::check() const {
  if (urls.empty()) return Error(errors::kInvalidValue, "no Redis is configured");
  for (size_t i = 0; i < urls.size(); ++i) {
    const auto address = redis::parse_address(urls[i]);
    if (!address.ok())  // the url itself may hold a password
      return Error(errors::kInvalidValue,
                   "item " + std::to_string(i + 1) + ": " + address.error().message);
    for (size_t k = 0; k < i; ++k)
      if (redis::parse_address(urls[k])->name() == address->name())
        return Error(errors::kInvalidValue, "the Redis " + address->name() + " is listed twice");
  }
  return ok_status();
}

RedisBroker::RedisBroker(const RedisBrokerConfig& config, caf::actor_system& actors,
                         BrokerNode node)
    : node_(std::move(node)), io_(1, "broker") {
  shared_.node = new_epoch();
  shared_.lease = std::max(config.presence_timeout - kSweepShare, kMinLease);
  shared_.overloaded = node_.overloaded;
  shared_.run_actors = [this] { run_actors(); };
  shared_.on_lag = [this](microseconds lag) {
    lag_us_.store(lag.count(), std::memory_order_relaxed);
    if (node_.lag) node_.lag(std::chrono::duration<double>(lag).count());
  };
  shared_.on_control = [this](RedisPrimary& primary, ControlMessage& message) {
    revocations_->on_message(primary, message);
  };
  shared_.on_link_up = [this](RedisPrimary& primary) { revocations_->load(primary); };
  shared_.on_registered = [this](RedisPrimary& primary) { connections_->recount(primary); };

  // All of it on its thread: nothing of it may run before everything is there.
  std::promise<void> made;
  io_.post(0, [&] {
    auto store = redis::Store::open(io_.context(0), config.urls, config.password, client_config());
    store_ = std::move(store).value();  // check() has found the urls to be good
    loop_ = std::make_unique<Loop>(*this, io_.context(0), actors);
    connections_ = std::make_unique<ConnectionCounts>(*store_, primaries_, node_.limits);
    revocations_ = std::make_unique<RevocationExchange>(
        shared_.node, node_, primaries_,
        [this](UniqueFunction<void()> task) { run(std::move(task)); });
    for (size_t i = 0; i < config.urls.size(); ++i) {
      redis::SubscriberConfig subscriber;
      subscriber.link.address = redis::parse_address(config.urls[i]).value();
      if (subscriber.link.address.password.empty())
        subscriber.link.address.password = config.password;
      subscriber.link.client_name = "raymesh-realtime-sub";
      subscriber.ping_interval = config.ping_interval;
      subscriber.silence = config.silence;
      subscriber.hello = &scripts::hello();
      subscriber.hello_tail.arg(0);
      primaries_.push_back(std::make_unique<RedisPrimary>(io_.context(0), store_->primary(i),
                                                          std::move(subscriber), shared_));
    }
    tick();
    made.set_value();
  });
  made.get_future().wait();
}

RedisBroker::~RedisBroker() {
  stop(milliseconds(0));
}

void RedisBroker::stop(milliseconds grace) {
  if (stopped_.exchange(true)) return;
  ready_ = false;
  // That its members leave is on its way, through their actors: an end before that would have them
  // swept instead, also those that are handed over.
  const auto deadline = std::chrono::steady_clock::now() + grace;
  while (count_members() > 0 && std::chrono::steady_clock::now() < deadline - grace / 2)
    std::this_thread::sleep_for(milliseconds(5));
  struct Ending {
    std::promise<void> all;
    size_t left = 0;
  };
  auto ending = std::make_shared<Ending>();
  auto ended = ending->all.get_future();
  io_.post(0, [this, ending] {
    ending->left = primaries_.size();
    for (const auto& primary : primaries_)
      primary->end([ending] {
        if (--ending->left == 0) ending->all.set_value();
      });
  });
  ended.wait_until(deadline);
  std::promise<void> closed;
  io_.post(0, [this, &closed] {
    loop_->disarm();
    loop_->wheel.stop();
    revocations_->close();
    for (const auto& primary : primaries_) primary->close();
    store_->close();
    closed.set_value();
  });
  closed.get_future().wait();
  // Closing answers what is open, on the thread, and what is answered is still there.
  std::promise<void> answered;
  io_.post(0, [this, &answered] {
    loop_.reset();
    answered.set_value();
  });
  answered.get_future().wait();
  io_.stop();
}

size_t RedisBroker::count_members() {
  std::promise<size_t> answer;
  io_.post(0, [&] {
    size_t count = 0;
    for (const auto& primary : primaries_) count += primary->members();
    answer.set_value(count);
  });
  return answer.get_future().get();
}

// --- The thread ---

void RedisBroker::run(UniqueFunction<void()> task) {
  io_.post(0, [this, task = std::move(task)]() mutable {
    task();
    run_actors();
  });
}

void RedisBroker::run_actors() {
  if (!loop_ || !loop_->unit.has_jobs() || std::exchange(loop_->running, true)) return;
  const bool more = loop_->unit.run();
  loop_->running = false;
  if (!more || std::exchange(loop_->posted, true)) return;
  io_.post(0, [this] {
    if (!loop_) return;
    loop_->posted = false;
    run_actors();
  });
}

void RedisBroker::tick() {
  bool ready = !stopped_.load();
  bool paused = false;
  uint64_t topics = 0, messages = 0, bytes = 0, breaks = 0;
  for (const auto& primary : primaries_) {
    primary->tick();
    ready = ready && primary->ready();
    paused = paused || primary->paused();
    const redis::SubscriberStats stats = primary->stats();
    topics += primary->topics();
    messages += stats.messages;
    bytes += stats.bytes;
    breaks += stats.breaks;
  }
  ready_ = ready;
  topics_ = topics;
  messages_ = messages;
  bytes_ = bytes;
  breaks_ = breaks;
  revocations_->tick();
  run_actors();
  loop_->wheel.arm(*loop_, paused ? kPausedTick : kTick);
}

Status RedisBroker::ready() const {
  if (ready_) return ok_status();
  return Error(errors::kUnavailable, "not connected to Redis, or not registered there",
               milliseconds(1000));
}

RedisBrokerStats RedisBroker::stats() const {
  return {topics_, messages_, bytes_, breaks_, publish_failures_, microseconds(lag_us_)};
}

RedisPrimary& RedisBroker::at(const Channel& channel) {
  return at(channel_key(channel.project(), channel.name()));
}

const ChannelRule& RedisBroker::rule(const std::string& name, const ChannelPtr& local) const {
  return local ? local->rule() : node_.rules.find(name);
}

// --- Messages ---

void RedisBroker::publish(const std::string& project, const std::string& name,
                          const ChannelPtr& local, std::shared_ptr<const PublishBatch> batch,
                          Answer<Published> done) {
  if (stopped_) {
    if (done) done(Error(errors::kUnavailable, "the broker is stopped", milliseconds(1000)));
    return;
  }
  std::string key = channel_key(project, name);
  const ChannelRule& channel_rule = rule(name, local);
  redis::Command tail;
  tail.reserve(256 + key.size() + 4 * batch->count() + batch->bytes());
  tail.arg(0)
      .arg(key)
      .arg(epoch_text(propose_epoch()))
      .arg(batch->count())
      .arg(encode_body(*batch, shared_.node, static_cast<uint64_t>(boot_time().count())))
      .arg(done ? 1 : 0)
      .arg(channel_rule.history_messages)
      .arg(channel_rule.history_bytes)
      .arg(channel_rule.history_ttl.count())
      .arg(idle_life(channel_rule).count());
  redis::Client& client = store_->at(key);
  if (!done) {
    client.eval(scripts::publish(), std::move(tail), Effect::kWrite, deadline(),
                [this](const Result<Reply>& reply) {
                  if (!reply.ok()) publish_failures_.fetch_add(1, std::memory_order_relaxed);
                });
    return;
  }
  client.eval(scripts::publish(), std::move(tail), Effect::kWrite, deadline(),
              [this, key = std::move(key), origin = batch->origin(),
               done = std::move(done)](const Result<Reply>& reply) mutable {
                done(published(key, origin, reply));
                run_actors();
              });
}

Result<Published> RedisBroker::published(const std::string& key, ConnectionId origin,
                                         const Result<Reply>& reply) {
  if (!reply.ok()) {
    publish_failures_.fetch_add(1, std::memory_order_relaxed);
    return answer_of_write(reply.error());
  }
  const auto epoch =
      reply->items.size() == 3 ? parse_epoch(reply->items[0].text) : std::optional<uint64_t>();
  if (!epoch) return redis::unexpected_reply("publish");
  Published out;
  out.last = {*epoch, static_cast<uint64_t>(reply->items[1].integer)};
  out.delivered = static_cast<uint64_t>(reply->items[2].integer);
  if (origin && out.delivered > 0 && at(key).is_member(key, origin)) --out.delivered;
  return out;
}

void RedisBroker::attach(const ChannelPtr& channel, Answer<Position> done) {
  run([this, channel, done = ensure(std::move(done))]() mutable {
    at(*channel).attach(channel, std::move(done));
  });
}

void RedisBroker::detach(const ChannelPtr& channel) {
  run([this, channel] { at(*channel).detach(channel); });
}

void RedisBroker::refreshed(const ChannelPtr& channel, Answer<Position> done) {
  run([this, channel, done = ensure(std::move(done))]() mutable {
    at(*channel).refreshed(channel, std::move(done));
  });
}

void RedisBroker::history(const std::string& project, const std::string& name,
                          const ChannelPtr& local, Position since, size_t limit,
                          Answer<HistoryPage> done) {
  auto read = std::make_shared<HistoryRead>(HistoryRead{
      channel_key(project, name), rule(name, local), since, limit, ensure(std::move(done)), {}, 0});
  run([this, read = std::move(read)]() mutable { read_history(std::move(read)); });
}

void RedisBroker::read_history(std::shared_ptr<HistoryRead> read) {
  HistoryRead& r = *read;
  Position after = r.since;
  if (!r.page.messages.empty()) after = {r.page.latest.epoch, r.page.messages.back().offset};
  redis::Command tail;
  tail.arg(0)
      .arg(r.key)
      .arg(epoch_text(propose_epoch()))
      .arg(idle_life(r.rule).count())
      .arg(after ? epoch_text(after.epoch) : std::string())
      .arg(after.offset)
      .arg(std::min(r.limit - r.page.messages.size(), kPageMessages))
      .arg(kPageBytes)
      .arg(r.rule.history_ttl.count());
  store_->at(r.key).eval(
      scripts::history(), std::move(tail), Effect::kWrite, deadline(),
      [this, read = std::move(read)](Result<Reply> reply) mutable {
        HistoryRead& got = *read;
        if (!reply.ok()) {
          got.done(Error(errors::kUnavailable, reply.error().message, milliseconds(1000)));
          return run_actors();
        }
        const auto epoch = reply->items.size() == 4 ? parse_epoch(reply->items[0].text)
                                                    : std::optional<uint64_t>();
        if (!epoch) return got.done(redis::unexpected_reply("history"));
        const Position latest{*epoch, static_cast<uint64_t>(reply->items[1].integer)};
        const bool cut = reply->items[2].integer == 1;
        auto& items = reply->items[3].items;
        // What was read before does not go on here: trimmed meanwhile, or of another epoch.
        auto& messages = got.page.messages;
        if (!messages.empty() && (latest.epoch != got.page.latest.epoch ||
                                  (!items.empty() && static_cast<uint64_t>(items[0].integer) !=
                                                         messages.back().offset + 1)))
          messages.clear();
        got.page.latest = latest;
        for (size_t i = 0; i + 1 < items.size(); i += 2)
          messages.push_back(
              {static_cast<uint64_t>(items[i].integer), std::move(items[i + 1].text)});
        const bool more = cut || items.size() / 2 == kPageMessages;
        if (more && ++got.pages > kMaxPages) {
          got.done(Error(errors::kOverloaded, "the channel's history changes too fast to be read"));
          return run_actors();
        }
        if (more && messages.size() < got.limit) return read_history(std::move(read));
        got.done(std::move(got.page));
        run_actors();
      });
}

// --- Members ---

void RedisBroker::enter(const ChannelPtr& channel, const MemberPtr& member,
                        Answer<std::string> done) {
  run([this, channel, member, done = ensure(std::move(done))]() mutable {
    at(*channel).enter(channel, member, std::move(done));
  });
}

void RedisBroker::leave(const ChannelPtr& channel, const MemberPtr& member, milliseconds handover) {
  run([this, channel, member, handover] { at(*channel).leave(channel, member, handover); });
}

void RedisBroker::watch(const ChannelPtr& channel, bool wanted) {
  run([this, channel, wanted] { at(*channel).watch(channel, wanted); });
}

void RedisBroker::presence(const std::string& project, const std::string& name, const ChannelPtr&,
                           PresenceQuery query, Answer<PresencePage> done) {
  auto cursor = decode_cursor(query.cursor);
  if (!cursor)
    return done(Error(errors::kInvalidRequest, "the cursor is none that a page has given"));
  auto read = std::make_shared<PresenceRead>(PresenceRead{channel_key(project, name),
                                                          std::max<size_t>(query.limit, 1),
                                                          *std::move(cursor),
                                                          ensure(std::move(done)),
                                                          {},
                                                          0});
  read->page.members_json = "[";
  run([this, read = std::move(read)]() mutable { read_presence(std::move(read)); });
}

void RedisBroker::read_presence(std::shared_ptr<PresenceRead> read) {
  PresenceRead& r = *read;
  redis::Command tail;
  tail.arg(0)
      .arg(r.key)
      .arg(std::min(r.limit - r.members, kPageMembers))
      .arg(r.cursor.node)
      .arg(r.cursor.place);
  store_->at(r.key).eval(
      scripts::presence(), std::move(tail), Effect::kRead, deadline(),
      [this, read = std::move(read)](const Result<Reply>& reply) mutable {
        PresenceRead& got = *read;
        if (!reply.ok() || reply->items.size() != 5) {
          got.done(Error(errors::kUnavailable,
                         reply.ok() ? "Redis gave an unexpected answer" : reply.error().message,
                         milliseconds(1000)));
          return run_actors();
        }
        got.page.count = static_cast<uint64_t>(reply->items[0].integer);
        got.page.identities = static_cast<uint64_t>(reply->items[1].integer);
        got.cursor = {reply->items[2].text, reply->items[3].text};
        for (const Reply& member : reply->items[4].items) {
          const std::string_view json = json_of_member(member.text);
          if (json.empty()) continue;
          if (got.members++ > 0) got.page.members_json += ',';
          got.page.members_json += json;
        }
        if (!got.cursor.node.empty() && got.members < got.limit)
          return read_presence(std::move(read));
        got.page.members_json += ']';
        got.page.next = encode(got.cursor);
        got.done(std::move(got.page));
        run_actors();
      });
}

// --- Connections ---

void RedisBroker::admit(const MemberPtr& member, Answered done) {
  if (!node_.limits.any()) return done(ok_status());
  run([this, member, done = ensure(std::move(done))]() mutable {
    connections_->admit(member, std::move(done));
  });
}

void RedisBroker::dismiss(const MemberPtr& member) {
  if (!node_.limits.any()) return;
  run([this, member] { connections_->dismiss(member); });
}

void RedisBroker::revoke(Revocation revocation, Answer<RevokeReport> done) {
  run([this, revocation = std::move(revocation), done = ensure(std::move(done))]() mutable {
    revocations_->revoke(std::move(revocation), std::move(done));
  });
}

}  // namespace raymesh::realtime
