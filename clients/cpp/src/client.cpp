#include "raymesh/client/client.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "clients/cpp/src/session.hpp"

namespace raymesh::client {
namespace {

/// Runs `work` on the session's strand; whoever awaits goes on where it was.
template <class T>
asio::awaitable<T> run(std::shared_ptr<Session> session, asio::awaitable<T> work) {
  co_return co_await asio::co_spawn(session->strand(), std::move(work), asio::use_awaitable);
}

}  // namespace

Client::Client(const asio::any_io_executor& executor, Options options)
    : session_(std::make_shared<Session>(executor, std::move(options))) {}

Client::~Client() {
  asio::post(session_->strand(), [session = session_] { session->drop(); });
}

asio::awaitable<void> Client::connect() {
  return run(session_, session_->connect());
}

asio::awaitable<std::string> Client::call_json(std::string method, std::string args,
                                               CallOptions options) {
  return run(session_,
             session_->call(std::move(method), std::move(args), std::move(options), true));
}

asio::awaitable<std::string> Client::call_bytes(std::string method, std::string args,
                                                CallOptions options) {
  return run(session_,
             session_->call(std::move(method), std::move(args), std::move(options), false));
}

Subscription Client::subscribe(std::string name, SubscribeOptions options) {
  std::shared_ptr<Reader> reader = session_->make_reader(name);
  asio::post(session_->strand(),
             [session = session_, reader, name = std::move(name), options = std::move(options)] {
               // Whoever has left before it began.
               if (!reader->is_over()) session->add_reader(reader, name, options);
             });
  return {session_, std::move(reader)};
}

asio::awaitable<void> Client::close() {
  return run(session_, session_->close());
}

State Client::state() const {
  return session_->state();
}

std::string Client::session_id() const {
  return session_->session_id();
}

std::string Client::cipher() const {
  return session_->cipher();
}

Subscription::Subscription(std::shared_ptr<Session> session, std::shared_ptr<Reader> reader)
    : session_(std::move(session)), reader_(std::move(reader)) {}

Subscription::Subscription(Subscription&&) noexcept = default;

Subscription& Subscription::operator=(Subscription&& other) noexcept {
  if (this == &other) return *this;
  leave();
  session_ = std::move(other.session_);
  reader_ = std::move(other.reader_);
  return *this;
}

Subscription::~Subscription() {
  leave();
}

void Subscription::leave() {
  if (!reader_) return;
  asio::co_spawn(session_->strand(), session_->remove_reader(std::move(reader_)),
                 [session = session_](const std::exception_ptr&) {});
}

asio::awaitable<void> Subscription::ready() {
  return run(session_, reader_->ready(reader_));
}

asio::awaitable<std::optional<Event>> Subscription::next() {
  return run(session_, reader_->next(reader_));
}

asio::awaitable<void> Subscription::close() {
  return run(session_, session_->remove_reader(reader_));
}

}  // namespace raymesh::client
