#include "services/realtime/redis_primaries.hpp"

#include <algorithm>

#include "libs/telemetry/log.hpp"
#include "services/realtime/redis_keys.hpp"
#include "services/realtime/redis_scripts.hpp"

namespace raymesh::realtime {
namespace {

using redis::Effect;
using redis::Reply;
using std::chrono::milliseconds;
using SteadyClock = std::chrono::steady_clock;

constexpr std::chrono::seconds kWaitTimeout{3};
constexpr std::chrono::seconds kBarrierTimeout{1};
constexpr size_t kMaxWaiting = 20'000;
// Members that were handed over there, and nodes that still use it, are swept for so long.
constexpr std::chrono::minutes kRetirement{10};

SteadyClock::time_point deadline() {
  return SteadyClock::now() + std::chrono::seconds(2);
}

redis::ClientConfig client_config(redis::Address address) {
  redis::ClientConfig config;
  config.address = std::move(address);
  config.client_name = "raymesh-realtime";
  config.scripts = {&scripts::register_node(), &scripts::renew(),     &scripts::sweep(),
                    &scripts::publish(),       &scripts::position(),  &scripts::history(),
                    &scripts::enter(),         &scripts::leave(),     &scripts::watch(),
                    &scripts::presence(),      &scripts::admit(),     &scripts::dismiss(),
                    &scripts::recount(),       &scripts::revoke(),    &scripts::set_ring(),
                    &scripts::forget(),        &scripts::hand_over(), &scripts::keep_revocations()};
  config.hello = &scripts::hello();
  config.hello_tail.arg(0);
  config.stall_timeout = milliseconds(3'000);
  return config;
}

}  // namespace

bool RedisPrimaries::View::has(const RedisPrimary* primary) const {
  return std::find(primaries.begin(), primaries.end(), primary) != primaries.end();
}

RedisPrimaries::RedisPrimaries(boost::asio::io_context& context, Config config,
                               RedisPrimary::Shared& shared, Adopted adopted)
    : context_(context),
      config_(std::move(config)),
      shared_(shared),
      adopted_(std::move(adopted)),
      record_(first_ring(config_.urls)) {
  current_ = &make_view(record_);
  list_open();
}

RedisPrimaries::~RedisPrimaries() {
  close();
}

void RedisPrimaries::close() {
  if (std::exchange(closed_, true)) return;
  alive_.reset();
  for (const auto& node : nodes_) {
    node->primary->close();
    node->client->close();
  }
  for (auto* queue : {&refused_, &held_})
    for (Waiting& one : std::exchange(*queue, {})) one.again(false);
}

RedisPrimaries::Node& RedisPrimaries::obtain(const std::string& url) {
  for (const auto& node : nodes_) {
    if (node->url != url || node->closed) continue;
    if (!node->retired) return *node;
    node->primary->close();  // it is taken in again, from the beginning
    node->client->close();
    node->closed = true;
  }
  redis::Address address = redis::parse_address(url).value();
  for (const std::string& known : config_.urls)
    if (auto own = redis::parse_address(known); own.ok() && own->name() == url)
      address = std::move(*own);
  if (address.password.empty()) address.password = config_.password;

  auto node = std::make_unique<Node>();
  node->url = url;
  node->client = std::make_unique<redis::Client>(context_, client_config(address));
  redis::SubscriberConfig subscriber;
  subscriber.link.address = std::move(address);
  subscriber.link.client_name = "raymesh-realtime-sub";
  subscriber.ping_interval = config_.ping_interval;
  subscriber.silence = config_.silence;
  subscriber.hello = &scripts::hello();
  subscriber.hello_tail.arg(0);
  node->primary =
      std::make_unique<RedisPrimary>(context_, *node->client, std::move(subscriber), shared_);
  nodes_.push_back(std::move(node));
  return *nodes_.back();
}

RedisPrimaries::Node* RedisPrimaries::find(const RedisPrimary& primary) {
  for (const auto& node : nodes_)
    if (node->primary.get() == &primary) return node.get();
  return nullptr;
}

const RedisPrimaries::View& RedisPrimaries::make_view(const RingRecord& record) {
  auto view = std::make_unique<View>(View{RingView(record), {}});
  for (const std::string& url : view->ring.urls())
    view->primaries.push_back(obtain(url).primary.get());
  views_.push_back(std::move(view));
  return *views_.back();
}

void RedisPrimaries::list_open() {
  open_.clear();
  for (const auto& node : nodes_)
    if (!node->closed) open_.push_back(node->primary.get());
}

bool RedisPrimaries::ready() const {
  if (record_.version == 0 && (loading_ || next_)) return false;
  const View& now = view();
  return std::all_of(now.primaries.begin(), now.primaries.end(),
                     [](const RedisPrimary* primary) { return primary->ready(); });
}

// --- A newer ring ---

uint64_t RedisPrimaries::newest() const {
  return next_ ? next_->record.version : record_.version;
}

void RedisPrimaries::told(RedisPrimary& primary, uint64_t version) {
  const Node* node = find(primary);
  if (closed_ || !node || node->closed || node->retired) return;
  if (version > newest()) return load(primary);
  // It has forgotten: a Redis that has lost its data. Without it, it would refuse nobody.
  if (version < record_.version && !next_)
    primary.client().eval(scripts::set_ring(),
                          redis::Command("0", record_.version, encode(record_), std::string()),
                          Effect::kWrite, deadline(), [](const Result<Reply>&) {});
}

void RedisPrimaries::load(RedisPrimary& from) {
  if (std::exchange(loading_, true)) return;
  from.client().call(redis::Command("GET", "rm:rt:primaries"), Effect::kRead, deadline(),
                     [this, alive = std::weak_ptr<int>(alive_), &from](const Result<Reply>& reply) {
                       if (alive.expired()) return;
                       loading_ = false;
                       if (!reply.ok()) return;  // the next one who tells of it asks again
                       auto record = decode_ring(reply->text);
                       if (!record)
                         log::error("the list of Redis primaries cannot be read",
                                    {{"redis", from.client().name()}});
                       else if (record->version > newest())
                         take(std::move(*record));
                     });
}

void RedisPrimaries::take(RingRecord record) {
  log::info("the ring of Redis primaries changes", {{"version", record.version}});
  auto next = std::make_unique<Next>();
  next->record = std::move(record);
  next->text = encode(next->record);
  std::vector<std::string> urls;
  auto want = [&](const std::string& url) {
    if (std::find(urls.begin(), urls.end(), url) == urls.end()) urls.push_back(url);
  };
  const auto& lists = next->record.lists;
  for (size_t i = 0; i < std::min<size_t>(lists.size(), 2); ++i)
    for (const RingRecord::Primary& primary : lists[i])
      if (!primary.lost) want(primary.url);
  // A ring was left out. One that is from the command line alone need not be any that was in use.
  if (record_.version > 0 && next->record.version > record_.version + 1)
    for (const RingRecord::Primary& primary : record_.lists.front()) want(primary.url);
  for (const std::string& url : urls) next->fences.push_back({&obtain(url)});
  next_ = std::move(next);
  holding_ = false;
  list_open();
  advance();
}

void RedisPrimaries::advance() {
  if (!next_ || closed_) return;
  bool all = true;
  for (Fence& one : next_->fences) {
    all = all && one.done;
    if (!one.done && !one.asking && one.node->client->ready()) fence(one);
    if (!next_) return;
  }
  if (!all) return;
  for (const RingRecord::Primary& primary : next_->record.lists.front())
    if (!obtain(primary.url).primary->ready()) return;
  const auto now = SteadyClock::now();
  if (!next_->barrier_until) {
    // Whatever was sent before is answered before this, and stands in the queue.
    holding_ = true;
    next_->barrier_until = now + kBarrierTimeout;
    const uint64_t version = next_->record.version;
    for (RedisPrimary* primary : view().primaries) {
      ++next_->barrier;
      primary->client().call(
          redis::Command("PING"), Effect::kRead, deadline(),
          [this, alive = std::weak_ptr<int>(alive_), version](const Result<Reply>&) {
            if (alive.expired() || !next_ || next_->record.version != version) return;
            if (--next_->barrier == 0) advance();
          });
      if (!next_) return;
    }
  }
  if (next_->barrier == 0 || now >= *next_->barrier_until) adopt();
}

void RedisPrimaries::fence(Fence& one) {
  one.asking = true;
  Node* node = one.node;
  node->client->eval(scripts::set_ring(),
                     redis::Command("0", next_->record.version, next_->text,
                                    encode(RingMessage{next_->record.version})),
                     Effect::kWrite, deadline(),
                     [this, alive = std::weak_ptr<int>(alive_), node,
                      version = next_->record.version](const Result<Reply>& reply) {
                       if (alive.expired() || !next_ || next_->record.version != version) return;
                       const auto it = std::find_if(next_->fences.begin(), next_->fences.end(),
                                                    [&](const Fence& f) { return f.node == node; });
                       if (it == next_->fences.end()) return;
                       it->asking = false;
                       if (!reply.ok()) return;  // tick() asks again
                       if (reply->text == next_->text) {
                         it->done = true;
                         return advance();
                       }
                       auto other = decode_ring(reply->text);
                       if (other && other->version > version) return take(std::move(*other));
                       log::error("two rings of Redis primaries have the same version",
                                  {{"version", version}, {"redis", node->client->name()}});
                     });
}

void RedisPrimaries::adopt() {
  const View& before = view();
  record_ = next_->record;
  next_.reset();
  const View& now = make_view(record_);
  current_.store(&now, std::memory_order_release);
  adopted_(before, now);
  for (RedisPrimary* primary : before.primaries)
    primary->move_out([&](const std::string& key) -> RedisPrimary& { return now.at(key); });
  // Also those that were only told of it.
  for (const auto& node : nodes_) {
    if (node->closed || node->retired || now.has(node->primary.get())) continue;
    node->retired = SteadyClock::now() + kRetirement;
    node->primary->retire();
  }
  list_open();
  holding_.store(false, std::memory_order_release);
  log::info("the ring of Redis primaries has changed",
            {{"version", record_.version}, {"primaries", now.primaries.size()}});
  auto refused = std::exchange(refused_, {});
  auto held = std::exchange(held_, {});
  for (auto* queue : {&refused, &held})
    for (Waiting& one : *queue) one.again(true);
  shared_.run_actors();
}

// --- What waits for it ---

void RedisPrimaries::wait(RedisPrimary& primary, uint64_t version, Waiter again) {
  if (closed_ || refused_.size() >= kMaxWaiting) return again(false);
  if (version < record_.version) return again(true);
  refused_.push_back({std::move(again), SteadyClock::now() + kWaitTimeout});
  if (!next_) load(primary);
}

void RedisPrimaries::hold(Waiter later) {
  if (!holding() && !closed_) return later(true);
  if (closed_ || held_.size() >= kMaxWaiting) return later(false);
  held_.push_back({std::move(later), SteadyClock::now() + kWaitTimeout});
}

void RedisPrimaries::tick() {
  const std::vector<RedisPrimary*> open = open_;
  for (RedisPrimary* primary : open) primary->tick();
  advance();
  const auto now = SteadyClock::now();
  for (auto* queue : {&refused_, &held_})
    while (!queue->empty() && queue->front().deadline <= now) {
      Waiting late = std::move(queue->front());
      queue->pop_front();
      late.again(false);
    }
  for (const auto& node : nodes_) {
    if (node->closed || !node->retired) continue;
    if (!node->primary->is_empty() && now < *node->retired) continue;
    node->primary->close();
    node->client->close();
    node->closed = true;
    list_open();
  }
}

}  // namespace raymesh::realtime
