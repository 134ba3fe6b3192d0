#include "clients/cpp/src/reader.hpp"

namespace raymesh::client {
namespace {

EventType type_of(int number) {
  return number >= static_cast<int>(EventType::kInsert) &&
                 number <= static_cast<int>(EventType::kEnd)
             ? static_cast<EventType>(number)
             : EventType::kUnknown;
}

}  // namespace

bool Reader::push(const Event& event) {
  if (over_) return true;
  if (queue_.size() >= bound_) {
    fail(Error(ErrorCode::kRateLimited, 0, "slow_consumer",
               '"' + name_ + "\" has brought " + std::to_string(bound_) +
                   " events that nobody has read; subscribe again from the last one to go on",
               {}, false));
    return false;
  }
  queue_.push_back(event);
  changed_.notify();
  return true;
}

void Reader::set_ready() {
  ready_ = true;
  changed_.notify();
}

void Reader::fail(const Error& error) {
  if (over_) return;
  over_ = true;
  error_ = error;
  changed_.notify();
}

bool Reader::close() {
  if (over_) return false;
  over_ = true;
  queue_.clear();
  changed_.notify();
  return true;
}

asio::awaitable<void> Reader::ready(std::shared_ptr<Reader> self) {
  co_await allow_cancellation();
  while (!self->ready_ && !self->over_) co_await self->changed_.wait();
  if (self->error_) throw Error(*self->error_);
  if (!self->ready_)
    throw Error(ErrorCode::kNone, 0, "closed",
                "the subscription to \"" + self->name_ + "\" was closed");
}

asio::awaitable<std::optional<Event>> Reader::next(std::shared_ptr<Reader> self) {
  co_await allow_cancellation();
  while (self->queue_.empty() && !self->over_) co_await self->changed_.wait();
  std::optional<Event> event;
  if (!self->queue_.empty()) {
    event = std::move(self->queue_.front());
    self->queue_.pop_front();
  } else if (self->error_) {
    throw Error(*self->error_);
  }
  co_return event;
}

bool Topic::take(const raystream::v1::Event& event) {
  if (!event.position().empty()) position = event.position();
  Event given;
  given.type = type_of(event.type());
  given.name = event.name();
  given.position = event.position();
  given.id = event.id();
  given.data = event.data();
  given.old_data = event.old_data();
  bool some_ended = false;
  for (const auto& reader : readers) some_ended |= !reader->push(given);
  return some_ended;
}

void Topic::end() {
  over = true;
  changed.notify();
}

void Topic::begins(const std::string& from) {
  known = was_there = true;
  if (position.empty()) position = from;
  for (const auto& reader : readers) reader->set_ready();
}

}  // namespace raymesh::client
