#include "clients/cpp/src/session.hpp"

#include <algorithm>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/strand.hpp>
#include <exception>

#include "clients/cpp/src/retry.hpp"
#include "clients/cpp/src/server_keys.hpp"

namespace raymesh::client {
namespace {

using std::chrono::milliseconds;

constexpr std::chrono::seconds kConnectTimeout{15};
// A connection that has lived so long was a good one.
constexpr std::chrono::seconds kSettled{10};

// Methods that may be sent twice.
constexpr std::string_view kSafe[] = {
    "info",           "auth.me",           "db.find",          "db.findMany",     "db.findFirst",
    "db.findOne",     "db.count",          "cache.get",        "cache.hgetall",   "cache.smembers",
    "realtime.token", "realtime.presence", "realtime.history", "realtime.revoke", "raystream.echo",
};

bool is_safe(std::string_view method) {
  return std::find(std::begin(kSafe), std::end(kSafe), method) != std::end(kSafe);
}

std::vector<raystream::Cipher> read_ciphers(const std::vector<std::string>& names) {
  if (names.empty()) return raystream::ClientOptions().ciphers;
  std::vector<raystream::Cipher> ciphers;
  for (const std::string& name : names) {
    const auto cipher = raystream::cipher_of(name);
    if (!cipher) throw invalid_option("there is no cipher \"" + name + '"');
    ciphers.push_back(*cipher);
  }
  return ciphers;
}

}  // namespace

Session::Session(const asio::any_io_executor& executor, Options options)
    : options_(std::move(options)),
      address_(parse_address(options_.url)),
      strand_(asio::make_strand(executor)),
      ciphers_(read_ciphers(options_.ciphers)) {
  if (!options_.server_keys.empty()) keys_ = pinned_keys(options_.server_keys);
  if (options_.heartbeat.count() <= 0) throw invalid_option("heartbeat must be more than 0");
  if (address_.tls) check_tls(options_.tls_ca_file);
}

State Session::state() const {
  const std::lock_guard lock(mutex_);
  return state_;
}

std::string Session::session_id() const {
  const std::lock_guard lock(mutex_);
  return session_id_;
}

std::string Session::cipher() const {
  const std::lock_guard lock(mutex_);
  return cipher_;
}

void Session::change(State state, const Error* error) {
  {
    const std::lock_guard lock(mutex_);
    if (state_ == state || state_ == State::kClosed) return;
    state_ = state;
  }
  if (!options_.on_state_change) return;
  try {
    options_.on_state_change(state, error);
  } catch (...) {
    // As of any handler: out of the executor that runs it, and not into what has told it.
    asio::post(strand_, [thrown = std::current_exception()] { std::rethrow_exception(thrown); });
  }
}

// --- Connecting ----------------------------------------------------------------------------------

asio::awaitable<void> Session::connect() {
  co_await allow_cancellation();
  co_await connected(kNever, "connect", milliseconds(0));
}

asio::awaitable<Session::ConnectionPtr> Session::connected(Clock::time_point deadline,
                                                           std::string method,
                                                           milliseconds timeout) {
  while (!ending_ && !connection_) {
    const std::shared_ptr<Attempt> attempt = start_connecting();
    while (!attempt->done) {
      if (Clock::now() >= deadline) {
        if (last_error_) throw unreachable(timeout, *last_error_);
        throw timed_out(method, timeout);
      }
      co_await attempt->changed.wait(deadline);
    }
    if (attempt->error) throw Error(*attempt->error);
  }
  if (ending_) throw client_closed();
  co_return connection_;
}

std::shared_ptr<Session::Attempt> Session::start_connecting() {
  if (attempt_) return attempt_;
  auto attempt = std::make_shared<Attempt>();
  attempt_ = attempt;
  // It begins at once, and may have come to its end when this returns.
  asio::co_spawn(strand_, connect_until_done(shared_from_this(), attempt), asio::detached);
  return attempt;
}

// Ends early when the session does.
asio::awaitable<void> Session::pause(milliseconds time) {
  const auto until = Clock::now() + time;
  while (!ending_ && Clock::now() < until) co_await pauses_.wait(until);
}

asio::awaitable<void> Session::connect_until_done(std::shared_ptr<Session> /*kept*/,
                                                  std::shared_ptr<Attempt> attempt) {
  change(State::kConnecting, last_error_ ? &*last_error_ : nullptr);
  bool learnt = false;
  for (;;) {
    if (failures_ > 0) co_await pause(backoff(failures_ - 1));
    if (ending_) co_return finish(*attempt, client_closed());
    std::optional<Error> failure;
    ConnectionPtr connection;
    try {
      connection = co_await connect_once();
      if (connection->is_over()) failure = network_error("the connection ended at once");
    } catch (const Error& error) {
      failure = error;
    } catch (const std::exception& error) {
      failure = Error(ErrorCode::kInternalError, 0, "internal", error.what(), {}, false);
    }
    opening_ = nullptr;
    if (ending_) {
      if (connection) connection->drop(client_closed());
      co_return finish(*attempt, client_closed());
    }
    if (!failure) {
      connection_ = std::move(connection);
      since_ = Clock::now();
      last_error_.reset();
      attempt_ = nullptr;
      attempt->done = true;
      attempt->changed.notify();
      co_return change(State::kConnected, nullptr);
    }
    last_error_ = failure;
    ++failures_;
    // Keys that were read from the gateway may have been changed there since.
    if (failure->code() == "server_not_trusted" && options_.server_keys.empty() && !learnt) {
      learnt = true;
      keys_.reset();
      continue;
    }
    if (!failure->retryable()) {
      failures_ = 0;
      co_return finish(*attempt, *failure);
    }
    if (failure->retry_after().count() > 0) co_await pause(failure->retry_after());
  }
}

// Nobody goes on trying.
void Session::finish(Attempt& attempt, const Error& error) {
  attempt_ = nullptr;
  attempt.error = error;
  attempt.done = true;
  attempt.changed.notify();
  const auto topics = topics_;
  for (const auto& [key, topic] : topics) fail_topic(topic, error);
  change(State::kIdle, &error);
}

// Given up after a while, and when the session ends.
asio::awaitable<void> Session::fetch_keys() {
  const auto stop = std::make_shared<asio::cancellation_signal>();
  fetching_ = stop;
  const auto late = std::make_shared<bool>(false);
  asio::steady_timer timer(strand_, kConnectTimeout);
  timer.async_wait([stop, late](boost::system::error_code ec) {
    if (ec) return;
    *late = true;
    stop->emit(asio::cancellation_type::terminal);
  });
  std::optional<Error> failure;
  try {
    keys_ = co_await asio::co_spawn(
        strand_, fetch_server_keys(address_, options_.tls_ca_file, options_.api_key),
        asio::bind_cancellation_slot(stop->slot(), asio::use_awaitable));
  } catch (const Error& error) {
    failure = error;
  }
  fetching_ = nullptr;
  timer.cancel();
  if (ending_) throw client_closed();
  if (failure && *late)
    failure = network_error("the servers' keys did not come from " + address_.authority() +
                            " within 15 s");
  if (failure) throw Error(*failure);
}

asio::awaitable<Session::ConnectionPtr> Session::connect_once() {
  if (!keys_) co_await fetch_keys();
  Connection::Settings settings;
  settings.websocket = address_.websocket;
  settings.trust.pinned = *keys_;
  settings.trust.ciphers = ciphers_;
  settings.heartbeat = options_.heartbeat;
  settings.on_event = [weak = weak_from_this()](const v1::Event& event) {
    if (const auto self = weak.lock()) self->take_event(event);
  };
  auto connection = std::make_shared<Connection>(
      strand_, make_transport(strand_, address_, options_.tls_ca_file), std::move(settings));
  connection->on_end(
      [weak = weak_from_this(), raw = connection.get()](const Error& error, bool resumable) {
        if (const auto self = weak.lock()) self->on_end(raw, error, resumable);
      });
  opening_ = connection;
  asio::steady_timer timer(strand_, kConnectTimeout);
  timer.async_wait([weak = std::weak_ptr<Connection>(connection)](boost::system::error_code ec) {
    const auto late = weak.lock();
    if (!ec && late) late->drop(network_error("the gateway did not answer within 15 s"));
  });
  std::optional<Error> failure;
  try {
    co_await connection->open(resumption_ ? &*resumption_ : nullptr);
    lines_.clear();
    {
      const std::lock_guard lock(mutex_);
      cipher_ = raystream::name_of(connection->cipher());
    }
    if (connection->is_resumed()) {
      co_await resume_topics(connection);
    } else {
      forget();
      co_await connection->attach(options_.api_key, options_.access_token);
      keep_resumption(*connection);
      follow_topics(connection);
    }
  } catch (const Error& error) {
    failure = error;
  }
  timer.cancel();
  if (failure) {
    connection->drop(*failure);
    throw Error(*failure);
  }
  co_return connection;
}

void Session::keep_resumption(Connection& connection) {
  auto resumption = connection.take_resumption();
  if (!resumption) return;
  resumption_ = std::move(resumption);
  const std::lock_guard lock(mutex_);
  session_id_ = connection.session_id();
}

void Session::forget() {
  resumption_.reset();
  const std::lock_guard lock(mutex_);
  session_id_.clear();
}

void Session::on_end(const Connection* connection, const Error& error, bool resumable) {
  if (!resumable) forget();
  if (subscribing_.get() == connection) subscribing_ = nullptr;
  if (connection_.get() != connection) return;
  const ConnectionPtr kept = std::exchange(connection_, nullptr);
  if (ending_) return;
  last_error_ = error;
  // Never at once: when a gateway ends, all its clients come again.
  failures_ = Clock::now() - since_ >= kSettled ? 1 : failures_ + 1;
  start_connecting();
}

// --- Calls ---------------------------------------------------------------------------------------

asio::awaitable<std::string> Session::call(std::string method, std::string args,
                                           CallOptions options, bool json) {
  co_await allow_cancellation();
  CallRequest request;
  request.method = std::move(method);
  request.args = std::move(args);
  request.timeout = options.timeout_.value_or(options_.timeout);
  if (request.timeout.count() > 0) request.deadline = Clock::now() + request.timeout;
  request.metadata = std::move(options.metadata_);
  if (json) request.metadata["content-type"] = "application/json";
  if (options.idempotency_key_) request.metadata["idempotency-key"] = *options.idempotency_key_;
  if (!options.path_.empty()) request.metadata["path"] = options.path_;
  if (!options.query_.empty()) request.metadata["query"] = options.query_;
  request.progress = {options.on_upload_, options.on_download_};
  const bool repeatable =
      options.idempotent_.value_or(options.idempotency_key_ || is_safe(request.method));

  for (int attempt = 1;; ++attempt) {
    ConnectionPtr connection =
        co_await connected(request.deadline, request.method, request.timeout);
    if (request.deadline != kNever) {
      const auto left = std::chrono::ceil<milliseconds>(request.deadline - Clock::now());
      request.metadata["timeout-ms"] = std::to_string(std::max<int64_t>(1, left.count()));
    }
    Outcome outcome = co_await connection->call(request);
    if (!outcome.error) co_return std::move(outcome.result);
    const Error& error = *outcome.error;
    if (outcome.lost && !repeatable)
      throw ending_ ? client_closed() : outcome_unknown(request.method);
    const int tries = error.error_code() == ErrorCode::kTimeout ? 2 : kTries;
    if (!repeatable || !error.retryable() || attempt >= tries || Clock::now() >= request.deadline)
      throw Error(error);
    if (error.error_code() == ErrorCode::kSessionExpired && !connection->is_over()) {
      forget();
      connection->drop(error);
    }
    milliseconds wait = error.retry_after();
    if (wait.count() == 0 && !connection->is_over()) wait = backoff(attempt - 1);
    if (request.deadline != kNever && Clock::now() + wait > request.deadline) throw Error(error);
    connection = nullptr;
    co_await pause(wait);
  }
}

// --- The end -------------------------------------------------------------------------------------

void Session::stop_connecting() {
  if (opening_) ConnectionPtr(opening_)->drop(client_closed());
  if (const auto fetching = fetching_) fetching->emit(asio::cancellation_type::terminal);
  pauses_.notify();
}

asio::awaitable<void> Session::close() {
  if (std::exchange(ending_, true)) co_return;
  const ConnectionPtr connection = connection_;
  const auto topics = std::exchange(topics_, {});
  for (const auto& [key, topic] : topics) {
    topic->end();
    for (const auto& reader : topic->readers) reader->close();
  }
  stop_connecting();
  if (connection) co_await connection->close();
  connection_ = nullptr;
  forget();
  change(State::kClosed, nullptr);
}

void Session::drop() {
  if (std::exchange(ending_, true)) return;
  const auto topics = std::exchange(topics_, {});
  for (const auto& [key, topic] : topics) {
    topic->end();
    for (const auto& reader : topic->readers) reader->fail(client_closed());
  }
  stop_connecting();
  if (connection_) ConnectionPtr(connection_)->drop(client_closed());
}

}  // namespace raymesh::client
