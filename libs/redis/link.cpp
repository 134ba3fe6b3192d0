#include "libs/redis/link.hpp"

#include <algorithm>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/post.hpp>

#include "libs/telemetry/log.hpp"

namespace raymesh::redis {
namespace asio = boost::asio;
namespace {

constexpr size_t kReadBytes = 64u << 10;
// hiredis moves what is left of its buffer after each KiB that it has parsed: fed with little at a
// time it has little to move.
constexpr size_t kFeedBytes = 4u << 10;
constexpr size_t kKeptOut = 1u << 20;
// A connection that breaks sooner is not made again at once, but after the backoff.
constexpr std::chrono::milliseconds kShortLife{100};

Error unavailable(std::string message) {
  return {errors::kUnavailable, std::move(message), std::chrono::milliseconds(1000)};
}

}  // namespace

Link::Link(asio::io_context& context, LinkConfig config, MessageSink* sink)
    : context_(context),
      config_(std::move(config)),
      name_(config_.address.name()),
      sink_(sink),
      socket_(context),
      resolver_(context),
      life_timer_(context),
      backoff_(config_.min_backoff),
      random_(std::random_device{}()),
      in_(std::make_unique<char[]>(kReadBytes)) {}

void Link::start() {
  asio::post(context_, [self = shared_from_this()] { self->connect(); });
}

// --- Life ---

void Link::connect() {
  if (state_ == State::kClosed) return;
  const uint64_t attempt = ++attempt_;
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

void Link::resolved(const asio::ip::tcp::resolver::results_type& results, uint64_t attempt) {
  // The next address is tried when the first does not take the connection: attempts rotate.
  auto it = results.begin();
  std::advance(it, static_cast<ptrdiff_t>(attempt % results.size()));
  connect_to(it->endpoint(), attempt);
}

void Link::connect_to(const asio::generic::stream_protocol::endpoint& endpoint, uint64_t attempt) {
  socket_.async_connect(endpoint, [self = shared_from_this(), attempt](ErrorCode error) {
    if (attempt != self->attempt_) return;
    if (error) return self->retry_later(unavailable("cannot connect: " + error.message()));
    self->connected();
  });
}

void Link::connected() {
  ErrorCode ignored;
  socket_.non_blocking(true, ignored);
  if (config_.address.path.empty()) {
    socket_.set_option(asio::ip::tcp::no_delay(true), ignored);
    socket_.set_option(asio::socket_base::keep_alive(true), ignored);
  }
  reader_ = std::make_unique<ReplyReader>(config_.reader, sink_);

  const Address& address = config_.address;
  if (!address.user.empty())
    handshake_command(Command("AUTH", address.user, address.password));
  else if (!address.password.empty())
    handshake_command(Command("AUTH", address.password));
  if (address.database != 0) handshake_command(Command("SELECT", address.database));
  handshake_command(Command("CLIENT", "SETNAME", config_.client_name));
  handshake();
  handshake_command(Command("PING"));  // the last one: LOADING and MASTERDOWN show up here
  write();
  if (reader_) read();
}

void Link::handshake_command(const Command& command) {
  command.append_to(out_);
  ++handshake_left_;
}

bool Link::handle_handshake(const Reply& reply) {
  if (reply.is_error()) {
    retry_later(to_error(reply));
    return false;
  }
  if (--handshake_left_ == 0) up();
  return state_ != State::kClosed;
}

void Link::up() {
  life_timer_.cancel();
  backoff_ = config_.min_backoff;
  state_ = State::kUp;
  up_since_ = Clock::now();
  if (std::exchange(told_, false)) log::info("Redis is back", {{"redis", name_}});
  on_up();
}

void Link::drop_socket() {
  ++attempt_;
  ErrorCode ignored;
  // What has not reached Redis is dropped with the socket. Otherwise the kernel would go on trying,
  // and a command that was given up long ago could still be run, behind newer ones.
  socket_.set_option(boost::asio::socket_base::linger(true, 0), ignored);
  socket_.close(ignored);
  resolver_.cancel();
  reader_.reset();
  out_.clear();
  out_sent_ = 0;
  writing_ = false;
  reading_ = false;
  handshake_left_ = 0;
}

void Link::broke(const Error& why) {
  if (state_ == State::kClosed) return;
  log::warn("connection to Redis lost", {{"redis", name_}, {"reason", why.message}});
  told_ = true;
  drop_socket();
  state_ = State::kConnecting;
  const bool short_life = Clock::now() - up_since_ < kShortLife;
  on_lost(why);
  if (state_ == State::kClosed) return;
  if (short_life)
    retry_later(why);
  else
    connect();
}

// Connecting failed. Nobody waits for the next attempt.
void Link::retry_later(const Error& why) {
  if (state_ == State::kClosed) return;
  if (!std::exchange(told_, true) || state_ == State::kConnecting)
    log::warn("cannot reach Redis, trying again", {{"redis", name_}, {"reason", why.message}});
  drop_socket();
  state_ = State::kDown;
  // Half to all of the backoff, so that the nodes of a cluster do not come back in step.
  const auto half = backoff_.count() / 2;
  const std::chrono::milliseconds wait(half +
                                       std::uniform_int_distribution<int64_t>(0, half)(random_));
  backoff_ = std::min(backoff_ * 2, config_.max_backoff);
  life_timer_.expires_after(wait);
  life_timer_.async_wait([self = shared_from_this()](ErrorCode error) {
    if (!error) self->connect();
  });
  on_failed(unavailable("Redis does not answer: " + why.message));
}

void Link::failed(const Error& why) {
  if (state_ == State::kUp)
    broke(why);
  else
    retry_later(why);
}

void Link::close_link() {
  state_ = State::kClosed;
  drop_socket();
  life_timer_.cancel();
}

// --- Writing ---

void Link::write() {
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
                       [self = shared_from_this(), attempt = attempt_](ErrorCode wait_failed) {
                         if (wait_failed || attempt != self->attempt_) return;
                         self->writing_ = false;
                         self->write();
                         if (!self->writing_ && attempt == self->attempt_) self->on_idle();
                       });
    return;
  }
  out_.clear();
  out_sent_ = 0;
  if (out_.capacity() > kKeptOut) out_.shrink_to_fit();
}

// --- Reading ---

void Link::pause_reading(bool paused) {
  paused_ = paused;
  if (!paused && reader_ && !reading_) read();
}

void Link::read() {
  if (paused_ || reading_) return;
  reading_ = true;
  socket_.async_read_some(
      asio::buffer(in_.get(), kReadBytes),
      [self = shared_from_this(), attempt = attempt_](ErrorCode error, size_t bytes) {
        if (attempt != self->attempt_) return;
        self->reading_ = false;
        if (!error) return self->received(bytes);
        self->failed(unavailable(error == asio::error::eof ? "Redis closed the connection"
                                                           : error.message()));
      });
}

void Link::received(size_t bytes) {
  heard_ = Clock::now();
  const uint64_t attempt = attempt_;
  for (size_t at = 0; at < bytes;) {
    const size_t part = std::min(kFeedBytes, bytes - at);
    const Status fed = reader_->feed({in_.get() + at, part});
    if (!fed.ok()) return failed(fed.error());
    at += part;
    for (;;) {
      Reply reply;
      const Result<bool> next = reader_->next(reply);
      if (!next.ok()) return failed(next.error());
      if (!*next) break;
      const bool goes_on =
          handshake_left_ > 0 ? handle_handshake(reply) : on_reply(std::move(reply));
      if (!goes_on || attempt != attempt_) return;
    }
  }
  on_idle();
  if (attempt == attempt_) read();
}

}  // namespace raymesh::redis
