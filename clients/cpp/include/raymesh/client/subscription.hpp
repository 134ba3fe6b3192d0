// Events of a channel or table, read one by one. Made by Client::subscribe; survives connections.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "raymesh/client/options.hpp"

namespace raymesh::client {

class Reader;
class Session;

enum class EventType : uint8_t {
  kUnknown = 0,
  kInsert = 1,
  kUpdate = 2,
  kDelete = 3,
  kMessage = 4,
  kJoin = 5,
  kLeave = 6,
  // Events before `position` were missed and cannot be had any more; with the id "presence" it is
  // kJoin and kLeave alone.
  kReset = 7,
  kEnd = 8,  // the server has ended the subscription, because it was revoked: an Error follows
};

struct Event {
  EventType type = EventType::kUnknown;
  std::string name;      // of the table or channel
  std::string position;  // what a later subscription goes on from
  std::string id;        // of the row or member
  std::string data;      // JSON, mostly
  std::string old_data;
};

/// One reader; any thread, but one `next` at a time. Ends when it goes.
class Subscription {
 public:
  Subscription(Subscription&&) noexcept;
  Subscription& operator=(Subscription&&) noexcept;
  ~Subscription();

  /// Returns when the server has said that events come; throws when they cannot.
  boost::asio::awaitable<void> ready();
  /// The next event; nullopt after `close`. Throws Error when it cannot go on: what came before is
  /// read first.
  boost::asio::awaitable<std::optional<Event>> next();
  /// No event comes after this.
  boost::asio::awaitable<void> close();

 private:
  friend class Client;
  Subscription(std::shared_ptr<Session> session, std::shared_ptr<Reader> reader);
  void leave();

  std::shared_ptr<Session> session_;
  std::shared_ptr<Reader> reader_;
};

}  // namespace raymesh::client
