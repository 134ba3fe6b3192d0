// One reader of a subscription, and what all readers of one name share. On the session's strand.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "clients/cpp/src/waiters.hpp"
#include "raymesh/client/subscription.hpp"
#include "raymesh/raystream/v1/raystream.pb.h"

namespace raymesh::client {

struct Topic;

class Reader {
 public:
  Reader(std::string name, size_t bound) : name_(std::move(name)), bound_(bound) {}

  /// False: there is no more room, and it has ended by that.
  bool push(const Event& event);
  /// The server has said that events come.
  void set_ready();
  /// What came before is still read.
  void fail(const Error& error);
  /// Nothing comes any more. False: it was over before.
  bool close();

  asio::awaitable<void> ready(std::shared_ptr<Reader> self);
  asio::awaitable<std::optional<Event>> next(std::shared_ptr<Reader> self);

  bool is_over() const { return over_; }
  std::shared_ptr<Topic> topic;  // nullptr: not yet, or not any more

 private:
  const std::string name_;
  const size_t bound_;
  std::deque<Event> queue_;
  std::optional<Error> error_;
  bool ready_ = false;
  bool over_ = false;
  Waiters changed_;
};

/// What a session knows of one name that is subscribed to.
struct Topic {
  raystream::v1::StreamKind kind = raystream::v1::CHANNEL;
  std::string name;
  /// Of the last event that was seen; empty: none yet.
  std::string position;
  bool presence = false;
  /// The server has answered that it has it: its stored session knows it, and RESUME may name it.
  bool known = false;
  /// It was known once.
  bool was_there = false;
  /// Nobody wants it any more.
  bool over = false;
  Waiters changed;  // over
  std::set<std::shared_ptr<Reader>> readers;

  /// Gives the event to all readers; true when some of them ended by it.
  bool take(const raystream::v1::Event& event);
  /// The server has it; events behind `from` come, or have come already.
  void begins(const std::string& from);
  void end();
};

}  // namespace raymesh::client
