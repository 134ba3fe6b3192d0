// A connection to one Redis primary that receives: sharded subscriptions (SSUBSCRIBE), one sink per
// topic. It notices within `silence` that nothing comes any more, also on a half-open link; makes
// the connection anew and subscribes to everything again, some topics at a time. What was published
// in between is lost here: link_lost() says so at its beginning, link_up() at its end.
//
// Every call and every callback belongs to the io_context's one thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "libs/base/result.hpp"
#include "libs/base/unique_function.hpp"
#include "libs/redis/command.hpp"
#include "libs/redis/link.hpp"

namespace raymesh::redis {

class Script;

struct SubscriberConfig {
  LinkConfig link;
  /// Runs on every connection before anything is subscribed, as in ClientConfig.
  const Script* hello = nullptr;
  Command hello_tail;
  std::chrono::milliseconds ping_interval{1'000};
  std::chrono::milliseconds silence{3'000};  // heard nothing: the link is lost
  /// Subscriptions that wait for Redis at the same time; more wait here.
  size_t batch = 500;
  size_t max_topics = 1'000'000;  // above it: overloaded
};

struct SubscriberStats {
  uint64_t messages = 0;
  uint64_t bytes = 0;  // of payloads
  uint64_t connects = 0;
  uint64_t breaks = 0;
};

class Subscriber {
 public:
  using Done = UniqueFunction<void(Status)>;

  /// Gets the messages of its topics.
  class Sink {
   public:
    virtual ~Sink() = default;
    /// The payload is gone after the call.
    virtual void on_message(std::string_view payload) = 0;
  };
  /// Outlives the subscriber's close().
  class Owner {
   public:
    virtual ~Owner() = default;
    /// Before the messages of a read; false drops them and leaves the connection (link_lost).
    virtual bool may_deliver() { return true; }
    /// All that a read brought has been handed over.
    virtual void delivered() {}
    virtual void link_lost() = 0;
    /// Redis has acknowledged all topics of before.
    virtual void link_up() = 0;
  };

  /// Begins to connect. The context is run by one thread and outlives the last handler.
  Subscriber(boost::asio::io_context& context, SubscriberConfig config, Owner& owner);
  /// Closes.
  ~Subscriber();
  Subscriber(const Subscriber&) = delete;
  Subscriber& operator=(const Subscriber&) = delete;

  /// `done` runs when Redis has acknowledged. Errors: unavailable, when the link is or gets lost
  /// before; overloaded. After an error the topic is not subscribed. One subscription per topic.
  void subscribe(const std::string& topic, std::shared_ptr<Sink> sink, Done done);
  /// From now on its sink gets nothing. A subscribe that is under way answers cancelled.
  void unsubscribe(const std::string& topic);
  /// Stops reading: Redis keeps what comes, up to its own bound (client-output-buffer-limit
  /// pubsub), then it ends the connection.
  void pause(bool paused);
  bool paused() const;
  /// Leaves the connection and makes a new one.
  void restart(const std::string& reason);

  bool up() const;
  size_t topics() const;
  SubscriberStats stats() const;
  /// No callback comes after it but those of subscribes under way (unavailable).
  void close();

 private:
  class Connection;
  std::shared_ptr<Connection> connection_;
};

}  // namespace raymesh::redis
