#include "libs/redis/connection.hpp"

#include <boost/asio/post.hpp>

namespace raymesh::redis {
namespace asio = boost::asio;
namespace {

// One write takes about so much; what comes meanwhile goes into the next.
constexpr size_t kWriteBytes = 256u << 10;

Error unavailable(std::string message) {
  return {errors::kUnavailable, std::move(message), std::chrono::milliseconds(1000)};
}

LinkConfig link_config(const ClientConfig& config) {
  return {config.address,         config.client_name, config.reader,
          config.connect_timeout, config.min_backoff, config.max_backoff};
}

}  // namespace

Client::Connection::Connection(asio::io_context& context, ClientConfig config)
    : Link(context, link_config(config)), config_(std::move(config)), deadline_timer_(context) {}

Client::Connection::~Connection() {
  finish();
}

void Client::Connection::close() {
  {
    std::lock_guard lock(mutex_);
    if (refusing_) return;
    refusing_ = true;
  }
  asio::post(context(), [self = self()] { self->finish(); });
}

ClientStats Client::Connection::stats() const {
  return {connected_.load(), commands_.load(), outstanding_.load(), refused_.load(),
          timeouts_.load(),  connects_.load(), breaks_.load()};
}

// --- Hand-over ---

void Client::Connection::submit(const Script* script, Command command, Effect effect,
                                Clock::time_point deadline, Done done) {
  size_t bytes = command.bytes();
  bool full = outstanding_.fetch_add(1) >= config_.max_commands;
  if (outstanding_bytes_.fetch_add(bytes) + bytes > config_.max_bytes) full = true;
  if (!full) {
    std::unique_lock lock(mutex_);
    if (!refusing_) {
      inbox_.push_back(
          {script, std::move(command), deadline, {}, std::move(done), effect, false, false, bytes});
      bool wake = !std::exchange(scheduled_, true);
      lock.unlock();
      commands_.fetch_add(1, std::memory_order_relaxed);
      if (wake) asio::post(context(), [self = self()] { self->take_inbox(); });
      return;
    }
  }
  outstanding_.fetch_sub(1);
  outstanding_bytes_.fetch_sub(bytes);
  if (!full) return done(unavailable("the connection to Redis is closed"));
  refused_.fetch_add(1, std::memory_order_relaxed);
  done(Error(errors::kOverloaded, "too many commands wait for Redis",
             std::chrono::milliseconds(100)));
}

void Client::Connection::take_inbox() {
  {
    std::lock_guard lock(mutex_);
    scheduled_ = false;
    taken_.swap(inbox_);
  }
  accept(taken_);
  taken_.clear();
}

void Client::Connection::accept(std::vector<Slot>& batch) {
  Clock::time_point first = Clock::time_point::max();
  for (Slot& slot : batch) {
    if (state() == State::kDown || state() == State::kClosed) {
      answer(slot, unavailable("Redis does not answer"));
      release(slot);
      continue;
    }
    first = std::min(first, slot.deadline);
    pending_.push_back(std::move(slot));
  }
  if (first != Clock::time_point::max()) watch(first);
  if (state() == State::kUp) send_pending();
}

void Client::Connection::answer(Slot& slot, Result<Reply> result) {
  if (!slot.done) return;
  Done done = std::move(slot.done);
  done(std::move(result));
}

void Client::Connection::release(const Slot& slot) {
  outstanding_.fetch_sub(1, std::memory_order_relaxed);
  outstanding_bytes_.fetch_sub(slot.charged, std::memory_order_relaxed);
}

void Client::Connection::fail_pending(const Error& error) {
  std::deque<Slot> failed;
  failed.swap(pending_);
  for (Slot& slot : failed) {
    answer(slot, error);
    release(slot);
  }
}

// --- Life of the connection ---

void Client::Connection::handshake() {
  for (const Script* script : config_.scripts) handshake_command(script->load());
  if (config_.hello == nullptr) return;
  Command hello = config_.hello->eval();
  hello.add(config_.hello_tail);
  handshake_command(hello);
}

void Client::Connection::on_up() {
  connected_ = true;
  connects_.fetch_add(1, std::memory_order_relaxed);
  send_pending();
}

// What can be repeated goes to the front of the queue again.
void Client::Connection::on_lost(const Error&) {
  connected_ = false;
  breaks_.fetch_add(1, std::memory_order_relaxed);
  std::deque<Slot> sent;
  sent.swap(in_flight_);
  std::deque<Slot> lost;
  while (!sent.empty()) {
    Slot slot = std::move(sent.back());
    sent.pop_back();
    if (slot.done && slot.effect == Effect::kRead && !slot.retried) {
      slot.retried = true;
      pending_.push_front(std::move(slot));
    } else {
      lost.push_front(std::move(slot));
    }
  }
  for (Slot& slot : lost) {
    if (slot.effect == Effect::kWrite)
      answer(slot, Error(errors::kOutcomeUnknown,
                         "the connection to Redis broke after the command was sent"));
    else
      answer(slot, unavailable("the connection to Redis broke twice"));
    release(slot);
  }
}

// Nobody waits for the next attempt.
void Client::Connection::on_failed(const Error& why) {
  connected_ = false;
  fail_pending(why);
}

void Client::Connection::finish() {
  close_link();
  connected_ = false;
  deadline_timer_.cancel();
  Error error = unavailable("the connection to Redis is closed");
  std::vector<Slot> left;
  {
    std::lock_guard lock(mutex_);
    refusing_ = true;
    left.swap(inbox_);
  }
  for (Slot& slot : in_flight_) pending_.push_back(std::move(slot));
  in_flight_.clear();
  for (Slot& slot : left) pending_.push_back(std::move(slot));
  fail_pending(error);
}

// --- Writing ---

void Client::Connection::send_pending() {
  while (state() == State::kUp && !pending_.empty() && !writing()) {
    Clock::time_point now = Clock::now();
    while (!pending_.empty() && out().size() < kWriteBytes) {
      Slot& slot = pending_.front();
      if (slot.done && slot.deadline <= now) {
        timeouts_.fetch_add(1, std::memory_order_relaxed);
        answer(slot, Error(errors::kDeadlineExceeded, "the call's deadline has passed"));
      }
      if (!slot.done) {
        release(slot);
        pending_.pop_front();
        continue;
      }
      if (slot.script == nullptr)
        slot.command.append_to(out());
      else
        slot.command.append_to(out(),
                               slot.with_source ? &slot.script->eval() : &slot.script->evalsha());
      slot.sent = now;
      // Needed again only for a second sending.
      if (slot.script == nullptr && slot.effect == Effect::kWrite) slot.command = Command();
      in_flight_.push_back(std::move(slot));
      pending_.pop_front();
    }
    if (!in_flight_.empty()) watch(in_flight_.front().sent + config_.stall_timeout);
    write();
  }
}

// --- Reading ---

// False when the connection is gone.
bool Client::Connection::on_reply(Reply reply) {
  if (in_flight_.empty()) {
    broke(unavailable("Redis sent a reply that nobody asked for"));
    return false;
  }
  Slot slot = std::move(in_flight_.front());
  in_flight_.pop_front();
  if (!reply.is_error()) {
    answer(slot, std::move(reply));
    release(slot);
    return true;
  }
  if (slot.script && !slot.with_source && reply.text.rfind("NOSCRIPT", 0) == 0) {
    slot.with_source = true;
    pending_.push_front(std::move(slot));
    return true;
  }
  bool leave = wants_new_connection(reply);
  answer(slot, to_error(reply));
  release(slot);
  if (leave) broke(to_error(reply));
  return !leave;
}

// --- Deadlines ---

void Client::Connection::watch(Clock::time_point when) {
  if (when >= watching_ || state() == State::kClosed) return;
  watching_ = when;
  deadline_timer_.expires_at(when);
  deadline_timer_.async_wait([self = self()](boost::system::error_code error) {
    if (!error) self->check_deadlines();
  });
}

// Runs once per earliest deadline, not per command: what was answered in time has left the queues.
void Client::Connection::check_deadlines() {
  watching_ = Clock::time_point::max();
  Clock::time_point now = Clock::now();
  Clock::time_point next = Clock::time_point::max();
  std::vector<Slot> late;
  auto check = [&](Slot& slot) {
    if (!slot.done) return false;
    if (slot.deadline > now) {
      next = std::min(next, slot.deadline);
      return false;
    }
    return true;
  };
  std::erase_if(pending_, [&](Slot& slot) {
    if (!check(slot)) return false;
    late.push_back(std::move(slot));
    return true;
  });
  std::vector<Done> unanswered;  // their place in the order of replies stays
  for (Slot& slot : in_flight_)
    if (check(slot)) unanswered.push_back(std::move(slot.done));
  if (!in_flight_.empty()) next = std::min(next, in_flight_.front().sent + config_.stall_timeout);
  bool stalled = !in_flight_.empty() && in_flight_.front().sent + config_.stall_timeout <= now;

  timeouts_.fetch_add(late.size() + unanswered.size(), std::memory_order_relaxed);
  for (Slot& slot : late) {
    answer(slot, Error(errors::kDeadlineExceeded, "the command did not reach Redis in time"));
    release(slot);
  }
  for (Done& done : unanswered)
    done(Error(errors::kDeadlineExceeded, "Redis did not answer in time"));
  if (stalled && state() == State::kUp)
    broke(unavailable("Redis has stopped answering"));
  else if (next != Clock::time_point::max())
    watch(next);
}

}  // namespace raymesh::redis
