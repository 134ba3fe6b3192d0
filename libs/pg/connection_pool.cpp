#include "libs/pg/connection_pool.hpp"

#include <algorithm>

namespace raymesh::pg {
namespace {

constexpr std::chrono::milliseconds kFirstBackoff{20};
constexpr std::chrono::milliseconds kLongestBackoff{1'000};
constexpr std::chrono::milliseconds kRetryAfter{1'000};
// A read is run again once when its connection broke.
constexpr int kMaxAttempts = 2;

}  // namespace

ConnectionPool::ConnectionPool(boost::asio::io_context& io, Login login, const PoolLimits& limits,
                               const ConnectionLimits& connection_limits, Budget& budget,
                               PoolEvents& events)
    : io_(io),
      login_(std::move(login)),
      limits_(limits),
      connection_limits_(connection_limits),
      budget_(budget),
      events_(events) {}

ConnectionPool::~ConnectionPool() {
  shutdown();
}

void ConnectionPool::submit(RequestPtr request) {
  const auto now = Clock::now();
  last_used_ = now;
  if (is_shut_ || is_outage(now)) {
    fail(std::move(request),
         is_shut_ ? Error(errors::kUnavailable, "the service is stopping") : last_failure_);
    if (!is_shut_) grow(now);  // to find out when the outage ends
    return;
  }
  if (waiting_.size() >= limits_.max_waiting ||
      waiting_bytes_ + request->bytes() > limits_.max_waiting_bytes) {
    events_.wait_refused();
    fail(std::move(request),
         Error(errors::kOverloaded, "too many statements wait for a database connection",
               kRetryAfter));
    return;
  }
  request->deadline = std::min(request->deadline, now + limits_.max_wait);
  waiting_bytes_ += request->bytes();
  waiting_.push_back(std::move(request));
  pump();
}

void ConnectionPool::pump() {
  if (waiting_.empty() || is_shut_) return;
  const auto now = Clock::now();
  while (!waiting_.empty()) {
    const bool is_write = waiting_.front()->is_write;
    PipelineConnection* connection = choose(now, is_write);
    const size_t enough = is_write ? limits_.grow_depth_writes : limits_.grow_depth;
    if (connection == nullptr || connection->in_flight() >= enough) grow(now);
    if (connection == nullptr) return;
    RequestPtr request = std::move(waiting_.front());
    waiting_.pop_front();
    waiting_bytes_ -= request->bytes();
    ++request->attempts;
    connection->send(std::move(request));
  }
}

PipelineConnection* ConnectionPool::choose(Clock::time_point now, bool is_write) {
  PipelineConnection* idlest = nullptr;
  PipelineConnection* packed = nullptr;
  for (const ConnectionPtr& c : connections_) {
    if (c->in_flight() >= limits_.max_depth || c->is_tainted()) continue;
    if (c->in_flight() > 0 && now - c->head_since() > limits_.slow_after) continue;
    if (idlest == nullptr || c->in_flight() < idlest->in_flight()) idlest = c.get();
    if (!is_write && can_pack(*c, now) &&
        (packed == nullptr || c->in_flight() > packed->in_flight()))
      packed = c.get();
  }
  return packed != nullptr ? packed : idlest;
}

// Reads behind fresh reads, few of them: nobody waits for a commit or for a slow statement.
bool ConnectionPool::can_pack(const PipelineConnection& c, Clock::time_point now) const {
  return c.in_flight() > 0 && c.in_flight() < limits_.pack_depth && c.writes_in_flight() == 0 &&
         now - c.head_since() < limits_.pack_while;
}

void ConnectionPool::grow(Clock::time_point now) {
  if (is_shut_ || !connecting_.empty() || now < connect_not_before_) return;
  if (connections() >= limits_.max_connections || !budget_.take(*this)) return;
  open_connection();
}

void ConnectionPool::open_connection() {
  auto connector = std::make_shared<Connector>(io_, login_, limits_.connect_timeout);
  connecting_.push_back(connector);
  connector->start([this](Result<ConnectionHandle> result) { connected(std::move(result)); });
}

void ConnectionPool::connected(Result<ConnectionHandle> result) {
  connecting_.clear();
  if (!result.ok()) {
    connect_failed(result.error());
    return;
  }
  failures_ = 0;
  events_.connection_opened();
  auto connection =
      std::make_shared<PipelineConnection>(io_, std::move(*result), *this, connection_limits_);
  connections_.push_back(connection);
  connection->start();
  pump();
}

void ConnectionPool::connect_failed(const Error& error) {
  const auto now = Clock::now();
  budget_.give_back();
  events_.connect_failed();
  if (failures_++ == 0) failing_since_ = now;
  const auto backoff = std::min(kFirstBackoff * (1 << std::min(failures_, 8)), kLongestBackoff);
  connect_not_before_ = now + backoff;
  last_failure_ =
      Error(errors::kUnavailable, "PostgreSQL cannot be reached: " + error.message, kRetryAfter);
  if (is_outage(now)) fail_waiting(last_failure_);
}

bool ConnectionPool::is_outage(Clock::time_point now) const {
  return failures_ > 0 && connections_.empty() && now - failing_since_ > limits_.outage_after;
}

void ConnectionPool::on_progress(PipelineConnection& connection) {
  retire_if_worn(connection);
  pump();
}

void ConnectionPool::on_suspect(RequestPtr request) {
  events_.request_retried();
  if (request->attempts >= kMaxAttempts) {
    fail(std::move(request), Error(errors::kUnavailable,
                                   "triggers of the project keep changing the session's settings"));
    return;
  }
  std::vector<RequestPtr> one;
  one.push_back(std::move(request));
  requeue(std::move(one));
}

void ConnectionPool::on_lost(PipelineConnection& connection,
                             std::vector<PipelineConnection::Unanswered> lost, std::string reason) {
  events_.connection_lost();
  const int pid = connection.backend_pid();
  // Unless the slow statement finished just before: then the next one is the oldest.
  const bool was_ended =
      is_ending(pid) && Clock::now() - connection.head_since() > login_.limits.statement_timeout;
  drop(connection);
  if (was_ended && !lost.empty() && lost.front().may_have_run && !lost.front().request->is_write) {
    RequestPtr culprit = std::move(lost.front().request);
    lost.erase(lost.begin());
    fail(std::move(culprit),
         Error(errors::kStatementTimeout, "the statement ran past its time limit and was ended"));
  }
  settle(std::move(lost), reason);
  pump();
}

void ConnectionPool::settle(std::vector<PipelineConnection::Unanswered> lost,
                            const std::string& reason) {
  std::vector<RequestPtr> again;
  std::vector<std::pair<RequestPtr, Error>> failed;
  for (auto& [request, may_have_run] : lost) {
    if (!may_have_run) {
      --request->attempts;
      again.push_back(std::move(request));
    } else if (request->is_write) {
      failed.emplace_back(std::move(request),
                          Error(errors::kOutcomeUnknown,
                                "the database connection broke after the statement was sent (" +
                                    reason + "): it may or may not have happened"));
    } else if (request->attempts < kMaxAttempts) {
      events_.request_retried();
      again.push_back(std::move(request));
    } else {
      failed.emplace_back(std::move(request),
                          Error(errors::kUnavailable,
                                "the database connection broke (" + reason + ")", kRetryAfter));
    }
  }
  requeue(std::move(again));
  for (auto& [request, error] : failed) fail(std::move(request), std::move(error));
}

void ConnectionPool::requeue(std::vector<RequestPtr> requests) {
  if (is_shut_) {
    for (RequestPtr& request : requests) {
      fail(std::move(request), Error(errors::kUnavailable, "the service is stopping"));
    }
    return;
  }
  // They have waited already, so they go to the front, in their order.
  for (auto it = requests.rbegin(); it != requests.rend(); ++it) {
    waiting_bytes_ += (*it)->bytes();
    waiting_.push_front(std::move(*it));
  }
}

void ConnectionPool::retire_if_worn(PipelineConnection& connection) {
  const bool is_tainted = connection.is_tainted();
  const bool is_worn = is_tainted || is_ending(connection.backend_pid()) ||
                       connection.statements_run() >= limits_.max_statements ||
                       Clock::now() - connection.opened_at() >= limits_.max_age;
  auto it = std::find_if(connections_.begin(), connections_.end(),
                         [&](const ConnectionPtr& c) { return c.get() == &connection; });
  if (is_worn && it != connections_.end()) {
    if (is_tainted) events_.session_tainted();
    retiring_.push_back(std::move(*it));
    connections_.erase(it);
  }
  if (connection.in_flight() > 0) return;
  auto retiring = std::find_if(retiring_.begin(), retiring_.end(),
                               [&](const ConnectionPtr& c) { return c.get() == &connection; });
  if (retiring == retiring_.end()) return;
  const ConnectionPtr keep = *retiring;
  keep->close();
  drop(*keep);
}

void ConnectionPool::drop(PipelineConnection& connection) {
  auto is_it = [&](const ConnectionPtr& c) { return c.get() == &connection; };
  if (std::erase_if(connections_, is_it) + std::erase_if(retiring_, is_it) == 0) return;
  const int pid = connection.backend_pid();
  std::erase_if(ending_, [&](const Ending& e) { return e.backend_pid == pid; });
  events_.connection_closed();
  budget_.give_back();
}

void ConnectionPool::retire_one() {
  auto least = std::min_element(connections_.begin(), connections_.end(),
                                [](const ConnectionPtr& a, const ConnectionPtr& b) {
                                  return a->in_flight() < b->in_flight();
                                });
  if (least == connections_.end()) return;
  retiring_.push_back(std::move(*least));
  connections_.erase(least);
}

bool ConnectionPool::close_idle_connection() {
  for (const ConnectionPtr& c : connections_) {
    if (c->in_flight() > 0) continue;
    const ConnectionPtr keep = c;
    keep->close();
    drop(*keep);
    return true;
  }
  return false;
}

void ConnectionPool::forget_statements() {
  for (const ConnectionPtr& c : connections_) c->forget_statements();
}

bool ConnectionPool::has_work() const {
  return !waiting_.empty() || !connecting_.empty() || in_flight() > 0 || !ending_.empty();
}

size_t ConnectionPool::in_flight() const {
  size_t n = 0;
  for (const ConnectionPtr& c : connections_) n += c->in_flight();
  for (const ConnectionPtr& c : retiring_) n += c->in_flight();
  return n;
}

void ConnectionPool::tick(Clock::time_point now) {
  expire_waiting(now);
  end_overstayed(now);
  rescue_reads(now);
  pump();
}

void ConnectionPool::expire_waiting(Clock::time_point now) {
  std::vector<RequestPtr> expired;
  for (RequestPtr& request : waiting_) {
    if (request->deadline > now) continue;
    waiting_bytes_ -= request->bytes();
    expired.push_back(std::move(request));
  }
  if (expired.empty()) return;
  std::erase(waiting_, nullptr);
  for (RequestPtr& request : expired) {
    events_.wait_refused();
    fail(std::move(request),
         failures_ > 0 ? last_failure_
                       : Error(errors::kOverloaded, "no database connection became free in time",
                               kRetryAfter));
  }
}

void ConnectionPool::rescue_reads(Clock::time_point now) {
  for (const ConnectionPtr& c : connections_) {
    if (c->in_flight() < 2 || now - c->head_since() < limits_.rescue_after) continue;
    if (choose(now, /*is_write=*/false) == nullptr) {
      // Nobody could take them yet; when the machine is just slow, repeating makes it slower.
      grow(now);
      return;
    }
    auto taken = c->take_reads_behind_head();
    for (size_t i = 0; i < taken.size(); ++i) events_.request_rescued();
    requeue(std::move(taken));
  }
}

void ConnectionPool::end_overstayed(Clock::time_point now) {
  const auto limit = login_.limits.statement_timeout + limits_.overstay;
  std::vector<ConnectionPtr> hopeless;
  for (const auto* list : {&connections_, &retiring_}) {
    for (const ConnectionPtr& c : *list) {
      if (c->in_flight() == 0) continue;
      const auto age = now - c->head_since();
      if (age <= limit) continue;
      const int pid = c->backend_pid();
      if (!is_ending(pid)) {
        events_.session_terminated();
        auto terminator =
            std::make_shared<SessionTerminator>(io_, login_, pid, limits_.connect_timeout);
        terminator->start([] {});
        ending_.push_back({pid, std::move(terminator)});
      } else if (age > limit + 2 * limits_.overstay + limits_.connect_timeout) {
        hopeless.push_back(c);
      }
    }
  }
  // The server did not end it, or its end did not reach us.
  for (const ConnectionPtr& c : hopeless) on_lost(*c, c->close(), "it did not answer");
}

bool ConnectionPool::is_ending(int backend_pid) const {
  return std::any_of(ending_.begin(), ending_.end(),
                     [&](const Ending& e) { return e.backend_pid == backend_pid; });
}

void ConnectionPool::fail_waiting(const Error& error) {
  auto waiting = std::exchange(waiting_, {});
  waiting_bytes_ = 0;
  for (RequestPtr& request : waiting) fail(std::move(request), error);
}

void ConnectionPool::fail(RequestPtr request, Error error) {
  Outcome outcome;
  outcome.error = std::move(error);
  request->sink->done(std::move(outcome));
}

void ConnectionPool::shutdown() {
  if (std::exchange(is_shut_, true)) return;
  for (auto& connector : connecting_) {
    connector->cancel();
    budget_.give_back();
  }
  connecting_.clear();
  for (Ending& e : ending_) e.terminator->cancel();
  ending_.clear();
  auto all = std::exchange(connections_, {});
  for (ConnectionPtr& c : std::exchange(retiring_, {})) all.push_back(std::move(c));
  for (ConnectionPtr& c : all) {
    events_.connection_closed();
    budget_.give_back();
    settle(c->close(), "the service is stopping");
  }
  fail_waiting(Error(errors::kUnavailable, "the service is stopping"));
}

}  // namespace raymesh::pg
