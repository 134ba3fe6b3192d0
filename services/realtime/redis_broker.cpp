#include "services/realtime/redis_broker.hpp"

#include <boost/asio/post.hpp>
#include <future>

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
constexpr milliseconds kShortTick{10};
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

Error no_ring_in_time() {
  return {errors::kUnavailable, "the list of Redis primaries has changed, and could not be had",
          std::chrono::milliseconds(1000)};
}

}  // namespace

struct RedisBroker::Loop final : net::WheelTimer {
  Loop(RedisBroker& b, boost::asio::io_context& io, caf::actor_system& actors)
      : broker(b), unit(actors), wheel(io, kShortTick) {}
  void on_timeout() override { broker.tick(); }

  RedisBroker& broker;
  actor::LoopUnit unit;
  net::WheelDriver wheel;
  bool running = false;
  bool posted = false;
};

// What is published, until Redis has taken it.
struct RedisBroker::Outgoing {
  std::string key;
  const ChannelRule& rule;
  std::shared_ptr<const PublishBatch> batch;
  Answer<Published> done;  // may be empty

  void answer(Result<Published> result) {
    if (done) std::exchange(done, nullptr)(std::move(result));
  }
  ~Outgoing() {
    answer(Error(errors::kUnavailable, "the broker is stopped", std::chrono::milliseconds(1000)));
  }
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
  if (urls.size() > redis::Ring::kPartitions)
    return Error(errors::kInvalidValue, std::to_string(urls.size()) + " primaries: at most " +
                                            std::to_string(redis::Ring::kPartitions));
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
    if (const auto* ring = std::get_if<RingMessage>(&message))
      primaries_->told(primary, ring->version);
    else
      revocations_->on_message(primary, message);
  };
  shared_.place = [this](const std::string& key) {
    const RingView& ring = primaries_->view().ring;
    return std::make_pair(ring.version(), ring.home(key));
  };
  shared_.on_ring = [this](RedisPrimary& primary, uint64_t version) {
    primaries_->told(primary, version);
  };
  shared_.ask_again = [this](RedisPrimary& primary, uint64_t version, const std::string& key,
                             Answer<Position> done) {
    primaries_->wait(primary, version, [this, key, done = std::move(done)](bool ok) mutable {
      if (!ok) return done(no_ring_in_time());
      at(key).ask(key, std::move(done));
    });
  };
  shared_.primary_of = [this](const Channel& channel) -> RedisPrimary& { return at(channel); };
  shared_.on_link_up = [this](RedisPrimary& primary) { revocations_->load(primary); };
  shared_.on_registered = [this](RedisPrimary& primary) { connections_->recount(primary); };

  // All of it on its thread: nothing of it may run before everything is there.
  std::promise<void> made;
  io_.post(0, [&] {
    loop_ = std::make_unique<Loop>(*this, io_.context(0), actors);
    connections_ = std::make_unique<ConnectionCounts>(primaries_, node_.limits);
    revocations_ = std::make_unique<RevocationExchange>(
        shared_.node, node_, primaries_,
        [this](UniqueFunction<void()> task) { run(std::move(task)); });
    primaries_ = std::make_unique<RedisPrimaries>(
        io_.context(0),
        RedisPrimaries::Config{config.urls, config.password, config.ping_interval, config.silence},
        shared_, [this](const RedisPrimaries::View& before, const RedisPrimaries::View& now) {
          connections_->move(before, now);
          revocations_->copy(before, now);
        });
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
  std::promise<void> all_left;
  auto left = all_left.get_future();
  io_.post(0, [this, &all_left] {
    all_left_ = std::move(all_left);
    tick();
  });
  left.wait_until(deadline - grace / 2);
  struct Ending {
    std::promise<void> all;
    size_t left = 0;
  };
  auto ending = std::make_shared<Ending>();
  auto ended = ending->all.get_future();
  io_.post(0, [this, ending] {
    const std::vector<RedisPrimary*> open = primaries_->open();
    ending->left = open.size();
    for (RedisPrimary* primary : open)
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
    primaries_->close();
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
  primaries_->tick();
  const bool ready = !stopped_.load() && primaries_->ready();
  bool soon = all_left_.has_value();
  size_t members = 0;
  uint64_t topics = 0, messages = 0, bytes = 0, breaks = 0;
  for (const RedisPrimary* primary : primaries_->open()) {
    soon = soon || primary->paused();
    members += primary->members();
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
  ring_ = primaries_->view().ring.version();
  revocations_->tick();
  run_actors();
  if (all_left_ && members == 0) {
    all_left_->set_value();
    all_left_.reset();
  }
  loop_->wheel.arm(*loop_, soon ? kShortTick : kTick);
}

Status RedisBroker::ready() const {
  if (ready_) return ok_status();
  return Error(errors::kUnavailable, "not connected to Redis, or not registered there",
               milliseconds(1000));
}

RedisBrokerStats RedisBroker::stats() const {
  return {topics_, messages_, bytes_, breaks_, publish_failures_, ring_, microseconds(lag_us_)};
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
  send(std::unique_ptr<Outgoing>(new Outgoing{channel_key(project, name), rule(name, local),
                                              std::move(batch), std::move(done)}));
}

void RedisBroker::send(std::unique_ptr<Outgoing> out) {
  if (primaries_->holding()) {
    io_.post(0, [this, out = std::move(out)]() mutable {
      primaries_->hold(
          [this, out = std::move(out)](bool ok) mutable { send_again(std::move(out), ok); });
    });
    return;
  }
  const RedisPrimaries::View& view = primaries_->view();
  RedisPrimary& primary = view.at(out->key);
  const ChannelRule& channel_rule = out->rule;
  const PublishBatch& batch = *out->batch;
  redis::Command tail;
  tail.reserve(288 + out->key.size() + 4 * batch.count() + batch.bytes());
  tail.arg(0)
      .arg(out->key)
      .arg(epoch_text(propose_epoch()))
      .arg(batch.count())
      .arg(encode_body(batch, shared_.node, static_cast<uint64_t>(boot_time().count())))
      .arg(out->done ? 1 : 0)
      .arg(channel_rule.history_messages)
      .arg(channel_rule.history_bytes)
      .arg(channel_rule.history_ttl.count())
      .arg(idle_life(channel_rule).count())
      .arg(view.ring.version())
      .arg(view.ring.home(out->key));
  primary.client().eval(scripts::publish(), std::move(tail), Effect::kWrite, deadline(),
                        [this, out = std::move(out), &primary,
                         version = view.ring.version()](const Result<Reply>& reply) mutable {
                          if (reply.ok() && is_old_ring(*reply)) {
                            primaries_->wait(primary, version,
                                             [this, out = std::move(out)](bool ok) mutable {
                                               send_again(std::move(out), ok);
                                             });
                            return;
                          }
                          Result<Published> result = published(*out, reply);
                          if (!out->done) return;
                          out->answer(std::move(result));
                          run_actors();
                        });
}

void RedisBroker::send_again(std::unique_ptr<Outgoing> out, bool ok) {
  if (ok) return send(std::move(out));
  publish_failures_.fetch_add(1, std::memory_order_relaxed);
  out->answer(no_ring_in_time());
}

Result<Published> RedisBroker::published(const Outgoing& sent, const Result<Reply>& reply) {
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
  const ConnectionId origin = sent.batch->origin();
  if (origin && out.delivered > 0 && at(sent.key).is_member(sent.key, origin)) --out.delivered;
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

void RedisBroker::refreshed(const ChannelPtr& channel, uint64_t number, Answer<Position> done) {
  run([this, channel, number, done = ensure(std::move(done))]() mutable {
    at(*channel).refreshed(channel, number, std::move(done));
  });
}

void RedisBroker::position(const ChannelPtr& channel, Answer<Position> done) {
  run([this, key = channel_key(channel->project(), channel->name()),
       done = ensure(std::move(done))]() mutable { at(key).ask(key, std::move(done)); });
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
      .arg(r.rule.history_ttl.count())
      .arg(primaries_->view().ring.version())
      .arg(primaries_->view().ring.home(r.key));
  RedisPrimary& primary = at(r.key);
  primary.client().eval(
      scripts::history(), std::move(tail), Effect::kWrite, deadline(),
      [this, read = std::move(read), &primary,
       version = primaries_->view().ring.version()](Result<Reply> reply) mutable {
        if (reply.ok() && is_old_ring(*reply)) {
          primaries_->wait(primary, version, [this, read = std::move(read)](bool ok) mutable {
            if (!ok) return read->done(no_ring_in_time());
            read_history(std::move(read));
          });
          return;
        }
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
      .arg(r.cursor.place)
      .arg(primaries_->view().ring.version());
  RedisPrimary& primary = at(r.key);
  primary.client().eval(
      scripts::presence(), std::move(tail), Effect::kRead, deadline(),
      [this, read = std::move(read), &primary,
       version = primaries_->view().ring.version()](const Result<Reply>& reply) mutable {
        if (reply.ok() && is_old_ring(*reply)) {
          primaries_->wait(primary, version, [this, read = std::move(read)](bool ok) mutable {
            if (!ok) return read->done(no_ring_in_time());
            read_presence(std::move(read));
          });
          return;
        }
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
