#include "libs/redis/connection.hpp"

#include <boost/asio/connect.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/write.hpp>

#include "libs/telemetry/log.hpp"

namespace raymesh::redis {
namespace asio = boost::asio;
namespace {

constexpr size_t kReadBytes = 64u << 10;
// One write takes about so much; what comes meanwhile goes into the next.
constexpr size_t kWriteBytes = 256u << 10;
// A connection that breaks sooner is not made again at once, but after the backoff.
constexpr std::chrono::milliseconds kShortLife{100};

Error unavailable(std::string message) {
  return {errors::kUnavailable, std::move(message), std::chrono::milliseconds(1000)};
}

}  // namespace

Client::Connection::Connection(asio::io_context& context, ClientConfig config)
    : context_(context),
      config_(std::move(config)),
      name_(config_.address.name()),
      socket_(context),
      resolver_(context),
      life_timer_(context),
      deadline_timer_(context),
      backoff_(config_.min_backoff),
      random_(std::random_device{}()),
      in_(std::make_unique<char[]>(kReadBytes)) {}

Client::Connection::~Connection() {
  finish();
}

void Client::Connection::start() {
  asio::post(context_, [self = shared_from_this()] { self->connect(); });
}

void Client::Connection::close() {
  {
    std::lock_guard lock(mutex_);
    if (refusing_) return;
    refusing_ = true;
  }
  asio::post(context_, [self = shared_from_this()] { self->finish(); });
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
      if (wake) asio::post(context_, [self = shared_from_this()] { self->take_inbox(); });
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
    if (state_ == State::kDown || state_ == State::kClosed) {
      answer(slot, unavailable("Redis does not answer"));
      release(slot);
      continue;
    }
    first = std::min(first, slot.deadline);
    pending_.push_back(std::move(slot));
  }
  if (first != Clock::time_point::max()) watch(first);
  if (state_ == State::kUp) send_pending();
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

void Client::Connection::connect() {
  if (state_ == State::kClosed) return;
  uint64_t attempt = ++attempt_;
  life_timer_.expires_after(config_.connect_timeout);
  life_timer_.async_wait([self = shared_from_this(), attempt](ErrorCode error) {
    if (!error && attempt == self->attempt_ && self->state_ != State::kUp)
      self->retry_later(unavailable("connecting took too long"));
  });
  if (!config_.address.path.empty())
    return connect_to(asio::local::stream_protocol::endpoint(config_.address.path), attempt);
  resolver_.async_resolve(
      config_.address.host, std::to_string(config_.address.port),
      [self = shared_from_this(), attempt](ErrorCode error, const auto& results) {
        if (attempt != self->attempt_) return;
        if (error) return self->retry_later(unavailable("cannot resolve: " + error.message()));
        self->resolved(results, attempt);
      });
}

void Client::Connection::resolved(const asio::ip::tcp::resolver::results_type& results,
                                  uint64_t attempt) {
  // The next address is tried when the first does not take the connection: attempts rotate.
  auto it = results.begin();
  std::advance(it, static_cast<ptrdiff_t>(attempt % results.size()));
  connect_to(it->endpoint(), attempt);
}

void Client::Connection::connect_to(const asio::generic::stream_protocol::endpoint& endpoint,
                                    uint64_t attempt) {
  socket_.async_connect(endpoint, [self = shared_from_this(), attempt](ErrorCode error) {
    if (attempt != self->attempt_) return;
    if (error) return self->retry_later(unavailable("cannot connect: " + error.message()));
    self->connected();
  });
}

void Client::Connection::connected() {
  ErrorCode ignored;
  socket_.non_blocking(true, ignored);
  if (config_.address.path.empty()) {
    socket_.set_option(asio::ip::tcp::no_delay(true), ignored);
    socket_.set_option(asio::socket_base::keep_alive(true), ignored);
  }
  reader_ = std::make_unique<ReplyReader>(config_.reader);

  auto send = [this](const Command& command) {
    command.append_to(out_);
    ++handshake_left_;
  };
  const Address& address = config_.address;
  if (!address.user.empty())
    send(Command("AUTH", address.user, address.password));
  else if (!address.password.empty())
    send(Command("AUTH", address.password));
  if (address.database != 0) send(Command("SELECT", address.database));
  send(Command("CLIENT", "SETNAME", config_.client_name));
  for (const Script* script : config_.scripts) send(script->load());
  send(Command("PING"));  // the last one: LOADING and MASTERDOWN show up here
  write();
  if (reader_) read();
}

bool Client::Connection::handle_handshake(const Reply& reply) {
  if (reply.is_error()) {
    retry_later(to_error(reply));
    return false;
  }
  if (--handshake_left_ == 0) up();
  return state_ != State::kClosed;
}

void Client::Connection::up() {
  life_timer_.cancel();
  backoff_ = config_.min_backoff;
  state_ = State::kUp;
  connected_ = true;
  up_since_ = Clock::now();
  connects_.fetch_add(1, std::memory_order_relaxed);
  if (std::exchange(told_, false)) log::info("Redis is back", {{"redis", name_}});
  send_pending();
}

void Client::Connection::drop_socket() {
  ++attempt_;
  connected_ = false;
  ErrorCode ignored;
  socket_.close(ignored);
  resolver_.cancel();
  reader_.reset();
  out_.clear();
  out_sent_ = 0;
  writing_ = false;
  handshake_left_ = 0;
}

// A connection that was up is gone: what can be repeated goes to the front of the queue again.
void Client::Connection::broke(const Error& why) {
  log::warn("connection to Redis lost", {{"redis", name_}, {"reason", why.message}});
  told_ = true;
  breaks_.fetch_add(1, std::memory_order_relaxed);
  drop_socket();
  state_ = State::kConnecting;

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
  if (Clock::now() - up_since_ < kShortLife)
    retry_later(why);
  else
    connect();
  for (Slot& slot : lost) {
    if (slot.effect == Effect::kWrite)
      answer(slot, Error(errors::kOutcomeUnknown,
                         "the connection to Redis broke after the command was sent"));
    else
      answer(slot, unavailable("the connection to Redis broke twice"));
    release(slot);
  }
}

// Connecting failed. Nobody waits for the next attempt.
void Client::Connection::retry_later(const Error& why) {
  if (state_ == State::kClosed) return;
  if (!std::exchange(told_, true) || state_ == State::kConnecting)
    log::warn("cannot reach Redis, trying again", {{"redis", name_}, {"reason", why.message}});
  drop_socket();
  state_ = State::kDown;
  // Half to all of the backoff, so that the nodes of a cluster do not come back in step.
  auto half = backoff_.count() / 2;
  std::chrono::milliseconds wait(half + std::uniform_int_distribution<int64_t>(0, half)(random_));
  backoff_ = std::min(backoff_ * 2, config_.max_backoff);
  life_timer_.expires_after(wait);
  life_timer_.async_wait([self = shared_from_this()](ErrorCode error) {
    if (!error) self->connect();
  });
  fail_pending(unavailable("Redis does not answer: " + why.message));
}

void Client::Connection::finish() {
  state_ = State::kClosed;
  drop_socket();
  life_timer_.cancel();
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
  while (state_ == State::kUp && !pending_.empty() && !writing_) {
    Clock::time_point now = Clock::now();
    while (!pending_.empty() && out_.size() < kWriteBytes) {
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
        slot.command.append_to(out_);
      else
        slot.command.append_to(out_,
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

// Writes at once what the socket takes, without a turn through the reactor.
void Client::Connection::write() {
  if (writing_) return;
  while (out_sent_ < out_.size()) {
    ErrorCode error;
    out_sent_ +=
        socket_.write_some(asio::buffer(out_.data() + out_sent_, out_.size() - out_sent_), error);
    if (!error) continue;
    if (error != asio::error::would_block && error != asio::error::try_again) {
      // The read that is under way reports the break; a handshake has none yet.
      if (state_ == State::kUp) break;
      return retry_later(unavailable(error.message()));
    }
    writing_ = true;
    socket_.async_wait(Socket::wait_write,
                       [self = shared_from_this(), attempt = attempt_](ErrorCode failed) {
                         if (failed || attempt != self->attempt_) return;
                         self->writing_ = false;
                         self->write();
                         self->send_pending();
                       });
    return;
  }
  out_.clear();
  out_sent_ = 0;
  if (out_.capacity() > 4 * kWriteBytes) out_.shrink_to_fit();
}

// --- Reading ---

void Client::Connection::read() {
  socket_.async_read_some(
      asio::buffer(in_.get(), kReadBytes),
      [self = shared_from_this(), attempt = attempt_](ErrorCode error, size_t bytes) {
        if (attempt != self->attempt_) return;
        if (!error) return self->received(bytes);
        Error why = unavailable(error == asio::error::eof ? "Redis closed the connection"
                                                          : error.message());
        if (self->state_ == State::kUp)
          self->broke(why);
        else
          self->retry_later(why);
      });
}

void Client::Connection::received(size_t bytes) {
  uint64_t attempt = attempt_;
  Status fed = reader_->feed({in_.get(), bytes});
  Error why;
  for (;;) {
    Reply reply;
    Result<bool> next = fed.ok() ? reader_->next(reply) : Result<bool>(fed.error());
    if (!next.ok()) {
      if (state_ == State::kUp)
        broke(next.error());
      else
        retry_later(next.error());
      return;
    }
    if (!*next) break;
    if (!handle(std::move(reply)) || attempt != attempt_) return;
  }
  read();
  send_pending();
}

// False when the connection is gone.
bool Client::Connection::handle(Reply reply) {
  if (handshake_left_ > 0) return handle_handshake(reply);
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
  if (when >= watching_ || state_ == State::kClosed) return;
  watching_ = when;
  deadline_timer_.expires_at(when);
  deadline_timer_.async_wait([self = shared_from_this()](ErrorCode error) {
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
  if (stalled && state_ == State::kUp)
    broke(unavailable("Redis has stopped answering"));
  else if (next != Clock::time_point::max())
    watch(next);
}

}  // namespace raymesh::redis
