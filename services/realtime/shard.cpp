#include "services/realtime/shard.hpp"

#include <pthread.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <random>
#include <system_error>

#include "libs/actor/loop_unit.hpp"
#include "libs/base/encoding.hpp"
#include "libs/crypto/random.hpp"
#include "libs/net/websocket/upgrade.hpp"
#include "libs/telemetry/log.hpp"
#include "services/realtime/relay.hpp"

namespace raymesh::realtime {
namespace {

constexpr int kMaxEvents = 256;
constexpr int kMaxAccepts = 64;  // in one turn
constexpr std::chrono::milliseconds kTick{1'000};
constexpr int kDrainTurnMs = 20;
constexpr int64_t kMaxTimerWaitMs = 60'000;
constexpr size_t kPrefetch = 4;  // subscribers ahead: thousands of them are in no cache
constexpr int kOverloadTurnMs = 1;
constexpr std::chrono::milliseconds kAcceptPause{50};
// How many of a node's clients should come back per second, when all do at once.
constexpr uint64_t kReturnsPerSecond = 2'000;
// For coming back, beyond the time that a client was asked to wait.
constexpr std::chrono::milliseconds kHandoverSlack{5'000};

// epoll's user data: a connection's id has a generation, these have none.
constexpr uint64_t kWakeData = 0;
constexpr uint64_t kListenData = 1;
constexpr uint64_t kFirstLoopData = 2;

thread_local const Shard* t_current = nullptr;

uint32_t random_below(uint64_t bound) {
  thread_local std::minstd_rand engine{std::random_device{}()};
  return bound == 0 ? 0 : static_cast<uint32_t>(engine() % bound);
}

}  // namespace

Shard::Shard(size_t index, NodeContext& node, ShardInbox& inbox)
    : index_(index),
      node_(node),
      inbox_(inbox),
      epoll_fd_(::epoll_create1(EPOLL_CLOEXEC)),
      loop_(epoll_fd_, kFirstLoopData, inbox),
      now_(Clock::now()),
      wheel_(kTick, now_),
      read_buffer_(new char[kReadBuffer]) {
  if (epoll_fd_ < 0) throw std::system_error(errno, std::generic_category(), "epoll_create1");
  epoll_event event{};
  event.events = EPOLLIN | EPOLLET;
  event.data.u64 = kWakeData;
  ::epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, inbox_.wake_fd(), &event);
}

Shard::~Shard() {
  stop();
  ::close(epoll_fd_);
}

void Shard::start() {
  thread_ = std::thread([this] { run(); });
  const std::string name = "rt-shard-" + std::to_string(index_);
  ::pthread_setname_np(thread_.native_handle(), name.c_str());
}

void Shard::stop() {
  if (!thread_.joinable()) return;
  inbox_.post(Command([](Shard& shard) { shard.stopping_ = true; }));
  thread_.join();
  take_inbox();  // calls that came too late are answered, too
}

void Shard::read_clock() {
  now_ = Clock::now();
  unix_now_ = std::chrono::duration_cast<std::chrono::seconds>(
                  std::chrono::system_clock::now().time_since_epoch())
                  .count();
}

const Shard* Shard::current() {
  return t_current;
}

void Shard::run() {
  t_current = this;
  actors_ = std::make_unique<actor::LoopUnit>(node_.actors);
  read_clock();
  while (!stopping_) {
    handle_events(wait_time());
    read_again();
    actors_->run();
    take_inbox();
    // Calls and commands have woken actors: what those publish leaves in this turn.
    if (actors_->has_jobs()) {
      actors_->run();
      take_inbox();
    }
    flush_channels();
    if (drain_) drain_some();
    wheel_.advance(now_);
    loop_.run_timers(now_);
    bury();
  }
  stop_accepting();
  for (Slot& slot : slots_)
    if (slot.connection) slot.connection->abort();
  bury();
  while (actors_->run()) {
  }
  actors_.reset();
}

int Shard::wait_time() const {
  if (actors_->has_jobs()) return 0;  // woken by what the last turn did after running them
  int wait = wheel_.armed() > 0 ? static_cast<int>(kTick.count()) : -1;
  if (accept_again_ != Clock::time_point{}) wait = static_cast<int>(kAcceptPause.count());
  if (drain_) wait = kDrainTurnMs;
  if (!read_later_.empty()) wait = node_.overloaded() ? kOverloadTurnMs : 0;
  if (const auto next = loop_.next_timer()) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(*next - now_).count();
    const int timer = static_cast<int>(std::clamp<int64_t>(left, 0, kMaxTimerWaitMs));
    if (wait < 0 || timer < wait) wait = timer;
  }
  return wait;
}

void Shard::handle_events(int timeout_ms) {
  epoll_event events[kMaxEvents];
  if (timeout_ms != 0 && !inbox_.prepare_sleep()) timeout_ms = 0;
  const int n = ::epoll_wait(epoll_fd_, events, kMaxEvents, timeout_ms);
  if (timeout_ms != 0) inbox_.awake();
  read_clock();
  for (int i = 0; i < n; ++i) {
    const epoll_event& event = events[i];
    if (event.data.u64 == kWakeData) {
      uint64_t count;
      [[maybe_unused]] const auto got = ::read(inbox_.wake_fd(), &count, sizeof count);
      continue;
    }
    if (event.data.u64 == kListenData) {
      accept_ready();
      continue;
    }
    const auto id = ConnectionId::from_bits(event.data.u64);
    if (!id) {
      loop_.on_event(event.data.u64, event.events);
      continue;
    }
    if (event.events & EPOLLOUT)
      if (Connection* c = find(id)) c->on_writable();
    if (event.events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
      if (Connection* c = find(id)) c->on_readable((event.events & ~(EPOLLIN | EPOLLOUT)) != 0);
  }
  if (accept_again_ != Clock::time_point{} && now_ >= accept_again_) accept_ready();
}

void Shard::read_again() {
  if (read_later_.empty()) return;
  std::vector<ConnectionId> again;
  again.swap(read_later_);
  for (const ConnectionId id : again)
    if (Connection* c = find(id)) c->on_readable(false);
}

Connection* Shard::find(ConnectionId id) const {
  if (id.slot() >= slots_.size()) return nullptr;
  const Slot& slot = slots_[id.slot()];
  return slot.generation == id.generation ? slot.connection.get() : nullptr;
}

// ---- new connections ----

void Shard::accept_from(std::vector<int> fds, const std::vector<ShardInbox*>& shards) {
  listen_fds_ = std::move(fds);
  for (ShardInbox* inbox : shards) accept_targets_.push_back({inbox, {}});
  watch_listeners(EPOLL_CTL_ADD, EPOLLIN);
}

void Shard::stop_accepting() {
  for (const int fd : listen_fds_) ::close(fd);
  listen_fds_.clear();
  accept_again_ = {};
}

void Shard::watch_listeners(int operation, uint32_t events) {
  epoll_event event{};
  event.events = events;
  event.data.u64 = kListenData;
  for (const int fd : listen_fds_) ::epoll_ctl(epoll_fd_, operation, fd, &event);
}

void Shard::accept_ready() {
  const bool all = std::ranges::all_of(listen_fds_, [this](int fd) { return accept_some(fd); });
  hand_over_accepted();
  if (!all) {
    // Callers wait in the kernel's backlog meanwhile; nothing spins.
    watch_listeners(EPOLL_CTL_MOD, 0);
    accept_again_ = now_ + kAcceptPause;
  } else if (accept_again_ != Clock::time_point{}) {
    watch_listeners(EPOLL_CTL_MOD, EPOLLIN);
    accept_again_ = {};
  }
}

// False when there is no descriptor or memory for another connection, or they come too fast.
bool Shard::accept_some(int listen_fd) {
  const double rate = node_.limits.accept_rate;
  for (int i = 0; i < kMaxAccepts; ++i) {
    // A storm of returning clients must leave time for those that are here.
    if (!accept_bucket_.take(rate, rate, now_)) return false;
    const int fd = ::accept4(listen_fd, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return errno != EMFILE && errno != ENFILE && errno != ENOBUFS && errno != ENOMEM;
    if (node_.connections.fetch_add(1) >= node_.limits.max_connections) {
      node_.connections.fetch_sub(1);
      node_.probe.connection_refused();
      const std::string answer = net::websocket::refuse_response(
          503, Error(errors::kOverloaded, "this node has as many connections as it may have"),
          "Retry-After: 1\r\n");
      ::send(fd, answer.data(), answer.size(), MSG_NOSIGNAL);
      ::close(fd);
      continue;
    }
    AcceptTarget& target = accept_target();
    target.inbox->connections_changed(1);
    target.accepted.push_back(fd);
  }
  return true;
}

// A node with few connections is one thread, so that a message wakes just that one; above that, the
// shard with the fewest.
Shard::AcceptTarget& Shard::accept_target() {
  AcceptTarget& own = accept_targets_.front();
  if (own.inbox->connections() < node_.limits.one_shard_up_to) return own;
  return *std::ranges::min_element(
      accept_targets_, {}, [](const AcceptTarget& target) { return target.inbox->connections(); });
}

// One wake-up for all that a shard gets.
void Shard::hand_over_accepted() {
  for (AcceptTarget& target : accept_targets_)
    if (!target.accepted.empty()) target.inbox->post(Incoming{std::exchange(target.accepted, {})});
}

uint32_t Shard::take_slot() {
  uint32_t slot;
  if (free_slots_.empty()) {
    slot = static_cast<uint32_t>(slots_.size());
    slots_.emplace_back();
  } else {
    slot = free_slots_.back();
    free_slots_.pop_back();
  }
  if (++slots_[slot].generation == 0) ++slots_[slot].generation;
  return slot;
}

ConnectionId Shard::enlist(RelaySubscription& subscription) {
  // Half of what there is is left to connections.
  if (free_slots_.empty() && slots_.size() >= ConnectionId::kMaxSlots / 2) return {};
  const uint32_t slot = take_slot();
  slots_[slot].relayed = &subscription;
  return ConnectionId::make(index_, slot, slots_[slot].generation);
}

void Shard::discharge(ConnectionId id) {
  slots_[id.slot()].relayed = nullptr;
  free_slots_.push_back(id.slot());
}

RelaySubscription* Shard::find_relayed(ConnectionId id) const {
  if (id.slot() >= slots_.size()) return nullptr;
  const Slot& slot = slots_[id.slot()];
  return slot.generation == id.generation ? slot.relayed : nullptr;
}

void Shard::adopt(int fd) {
  const uint32_t slot = take_slot();
  const auto id = ConnectionId::make(index_, slot, slots_[slot].generation);
  slots_[slot].connection = std::make_unique<Connection>(*this, id, fd);
  ++open_;
  // Edge-triggered for both directions at once: no further epoll_ctl in a connection's life.
  epoll_event event{};
  event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
  event.data.u64 = id.bits();
  ::epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, fd, &event);
  slots_[slot].connection->start();
}

void Shard::bury() {
  for (Connection* connection : doomed_) {
    const uint32_t slot = connection->id().slot();
    slots_[slot].connection.reset();
    free_slots_.push_back(slot);
    --open_;
    inbox_.connections_changed(-1);
    node_.connections.fetch_sub(1, std::memory_order_relaxed);
  }
  doomed_.clear();
}

// ---- channels ----

void Shard::subscribe(const ChannelPtr& channel, Audience audience, Connection& connection,
                      uint32_t subscription) {
  auto& list = channel->on(index_).group(audience).subscribers;
  connection.moved(subscription, static_cast<uint32_t>(list.size()));
  list.push_back({&connection, subscription});
}

void Shard::unsubscribe(const ChannelPtr& channel, Audience audience, uint32_t place) {
  auto& list = channel->on(index_).group(audience).subscribers;
  if (place + 1 != list.size()) {
    list[place] = list.back();
    list[place].connection->moved(list[place].subscription, place);
  }
  list.pop_back();
}

void Shard::renumber(const ChannelPtr& channel, Audience audience, uint32_t place,
                     uint32_t subscription) {
  channel->on(index_).group(audience).subscribers[place].subscription = subscription;
}

void Shard::take_inbox() {
  inbox_.take(items_);
  for (InboxItem& item : items_) std::visit([this](auto& i) { handle(i); }, item);
  items_.clear();
}

void Shard::handle(Delivery& delivery) {
  LocalChannel& local = delivery.channel->on(index_);
  taken_bytes_ += delivery.what.span.size();
  if (delivery.dialect == Dialect::kRelay) {
    for (RelayFeed* feed : local.feeds) feed->relay->deliver(*feed, delivery.what);
    return;
  }
  const bool dirty = local.has_pending();
  const bool is_event = delivery.what.messages == 0;
  LocalChannel::Group* last = nullptr;
  for (LocalChannel::Group& group : local.groups) {
    const Audience& audience = group.audience;
    if (audience.dialect != delivery.dialect || audience.deflated != delivery.deflated ||
        (is_event && !audience.watches))
      continue;
    if (last) last->pending.push_back(delivery.what);
    last = &group;
  }
  if (!last) return;
  last->pending.push_back(std::move(delivery.what));
  if (!dirty) dirty_.push_back(std::move(delivery.channel));
}

void Shard::handle(Joined& joined) {
  if (RelaySubscription* relayed = find_relayed(joined.connection))
    return relayed->relay->on_joined(*relayed, joined);
  // What was handed over before is not for the one who joins now.
  flush(*joined.channel);
  if (Connection* c = find(joined.connection)) c->on_joined(joined);
}

void Shard::handle(Lost& lost) {
  flush(*lost.channel);
  LocalChannel& local = lost.channel->on(index_);
  for (LocalChannel::Group& group : local.groups)
    for (size_t i = group.subscribers.size(); i-- > 0;)
      group.subscribers[i].connection->on_lost(group.subscribers[i].subscription, lost);
  for (RelayFeed* feed : local.feeds) feed->relay->on_lost(*feed, lost);
}

void Shard::flush_channels() {
  for (const ChannelPtr& channel : dirty_) flush(*channel);
  dirty_.clear();
  if (taken_bytes_ > 0) inbox_.flushed(std::exchange(taken_bytes_, 0));
}

void Shard::flush(Channel& channel) {
  for (LocalChannel::Group& group : channel.on(index_).groups)
    if (!group.pending.empty()) flush(channel.rule(), group);
}

void Shard::flush(const ChannelRule& rule, LocalChannel::Group& group) {
  const auto began = Clock::now();
  size_t bytes = 0;
  size_t messages = 0;
  for (const LocalChannel::Pending& pending : group.pending) {
    bytes += pending.span.size();
    messages += pending.messages;
    if (!spans_.empty() && spans_.back().joins(pending.span)) {
      spans_.back().end = pending.span.end;
    } else {
      spans_.push_back(pending.span);
    }
    set_origin(pending.origin, true);
  }
  size_t to_all = 0;  // connections that get everything
  size_t deliveries = 0;
  const bool lossy = rule.is_lossy();
  const bool notes = group.audience.dialect == Dialect::kEventsMany;
  // From the back, because sending may close a connection, whose place the last one then takes.
  for (size_t i = group.subscribers.size(); i-- > 0;) {
    const auto [connection, subscription] = group.subscribers[i];
    if (i >= kPrefetch) __builtin_prefetch(group.subscribers[i - kPrefetch].connection);
    Connection& c = *connection;
    if (!c.is_origin && !lossy) [[likely]] {
      c.send(spans_);
      ++to_all;
      if (notes) c.note_position(subscription, group.pending);
      continue;
    }
    for (const LocalChannel::Pending& pending : group.pending) {
      if (pending.origin && pending.origin == c.id()) continue;
      if (lossy) {
        c.send_lossy(subscription, rule, pending);
      } else {
        c.send({&pending.span, 1});
      }
      deliveries += pending.messages;
    }
    if (notes) c.note_position(subscription, group.pending);
  }
  for (const LocalChannel::Pending& pending : group.pending) set_origin(pending.origin, false);
  node_.probe.flushed(deliveries + to_all * messages, bytes * to_all,
                      std::chrono::duration<double>(Clock::now() - began).count());
  spans_.clear();
  group.pending.clear();
}

void Shard::set_origin(ConnectionId origin, bool value) {
  if (!origin || origin.shard() != index_) return;
  if (Connection* c = find(origin)) c->is_origin = value;
}

void Shard::close_channel(Channel& channel, const CloseCode& code) {
  for (LocalChannel::Group& group : channel.on(index_).groups)
    for (size_t i = group.subscribers.size(); i-- > 0;)
      group.subscribers[i].connection->close(code);
  for (Relay* relay : relays_) relay->end_channel(channel);
}

std::string Shard::random_name() {
  constexpr size_t kName = 12;
  if (names_.size() < kName) names_ = crypto::random_bytes(256 * kName);
  std::string name = base64url_encode(std::string_view(names_).substr(names_.size() - kName));
  names_.resize(names_.size() - kName);
  return name;
}

std::chrono::milliseconds Shard::return_after() const {
  return std::chrono::milliseconds(
      random_below(1'000 * node_.connections.load() / kReturnsPerSecond + 100));
}

uint64_t Shard::revoke(const Revocation& revocation) {
  uint64_t ended = 0;
  for (Slot& slot : slots_)
    if (slot.connection) ended += slot.connection->revoke(revocation);
  for (Relay* relay : relays_) ended += relay->revoke(revocation);
  return ended;
}

// ---- the end ----

void Shard::drain(std::chrono::milliseconds window, std::chrono::milliseconds return_window) {
  drain_ = std::make_unique<Drain>();
  drain_->from = now_;
  drain_->window = window;
  drain_->return_window = return_window;
  drain_->total = open_;
  for (Relay* relay : relays_) relay->drain();
}

void Shard::drain_some() {
  Drain& d = *drain_;
  size_t due = d.total;
  if (now_ - d.from < d.window)
    due = static_cast<size_t>(static_cast<double>(d.total) *
                              (std::chrono::duration<double>(now_ - d.from) / d.window));
  for (; d.closed < due && d.next_slot < slots_.size(); ++d.next_slot) {
    Connection* c = slots_[d.next_slot].connection.get();
    if (!c) continue;
    ++d.closed;
    const std::chrono::milliseconds wait(
        random_below(static_cast<uint64_t>(d.return_window.count())));
    c->drain(wait, wait + kHandoverSlack);
  }
}

}  // namespace raymesh::realtime
