#include "libs/redis/subscriber.hpp"

#include <boost/asio/post.hpp>
#include <deque>
#include <unordered_map>

#include "libs/redis/script.hpp"

namespace raymesh::redis {
namespace asio = boost::asio;
namespace {

// Redis answers a command with many topics once for each of them.
constexpr size_t kTopicsPerCommand = 100;

struct TextHash {
  using is_transparent = void;
  size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
};

Error lost(const std::string& why) {
  return {errors::kUnavailable, "the subscription's link to Redis is lost: " + why,
          std::chrono::milliseconds(1000)};
}

}  // namespace

// A topic is in `topics_` exactly as long as its owner wants it. Redis answers in order, so a queue
// of what was sent tells which topic an answer is about.
class Subscriber::Connection final : public Link, public MessageSink {
 public:
  Connection(asio::io_context& context, SubscriberConfig config, Owner& owner)
      : Link(context, config.link, this),
        config_(std::move(config)),
        owner_(&owner),
        timer_(context) {}

  void subscribe(const std::string& topic, std::shared_ptr<Sink> sink, Done done) {
    if (state() == State::kDown || state() == State::kClosed)
      return done(lost("it does not answer"));
    if (topics_.size() >= config_.max_topics)
      return done(
          Error(errors::kOverloaded, "too many subscriptions", std::chrono::milliseconds(1000)));
    const auto [it, fresh] = topics_.try_emplace(topic);
    if (!fresh) return done(Error(errors::kInternal, "the topic is subscribed already"));
    it->second = {std::move(sink), std::move(done), ++serial_};
    if (state() != State::kUp) return;  // with all the others when the link is up
    queue_.push_back({topic, it->second.serial, true});
    pump_soon();
  }

  void unsubscribe(const std::string& topic) {
    const auto it = topics_.find(topic);
    if (it == topics_.end()) return;
    Topic gone = std::move(it->second);
    topics_.erase(it);
    if (gone.resyncing) resync_left_--;
    if (state() == State::kUp) {
      queue_.push_back({topic, gone.serial, false});
      pump_soon();
    }
    if (gone.done) gone.done(Error(errors::kCancelled, "unsubscribed"));
  }

  void restart(const std::string& reason) {
    if (state() != State::kUp || std::exchange(restarting_, true)) return;
    // Not from within a read's handlers.
    asio::post(context(), [self = self(), reason, connects = stats_.connects] {
      self->restarting_ = false;
      if (self->state() == State::kUp && self->stats_.connects == connects)
        self->broke(lost(reason));
    });
  }

  void pause(bool paused) {
    if (!paused && reading_paused()) quiet_since_ = Clock::now();
    pause_reading(paused);
  }
  bool paused() const { return reading_paused(); }
  bool up() const { return synced_; }
  size_t topics() const { return topics_.size(); }
  SubscriberStats stats() const { return stats_; }

  void close() {
    owner_ = nullptr;
    synced_ = false;
    close_link();
    timer_.cancel();
    fail_unanswered("it is closed");
    topics_.clear();
    queue_.clear();
    sent_.clear();
  }

 private:
  struct Topic {
    std::shared_ptr<Sink> sink;
    Done done;  // until it is answered
    uint64_t serial = 0;
    bool resyncing = false;  // counted in resync_left_
  };
  struct Change {
    std::string topic;
    uint64_t serial = 0;  // of the topic: a name may be subscribed again meanwhile
    bool subscribe = true;
  };

  std::shared_ptr<Connection> self() {
    return std::static_pointer_cast<Connection>(shared_from_this());
  }

  // --- Link ---

  void handshake() override {
    if (config_.hello == nullptr) return;
    Command hello = config_.hello->eval();
    hello.add(config_.hello_tail);
    handshake_command(hello);
  }

  void on_up() override {
    ++stats_.connects;
    quiet_since_ = Clock::now();
    drop_batch_ = false;
    queue_.clear();
    sent_.clear();
    resync_left_ = topics_.size();
    for (auto& [name, topic] : topics_) {
      topic.resyncing = true;
      queue_.push_back({name, topic.serial, true});
    }
    beat();
    pump();
    if (state() == State::kUp) check_synced();
  }

  void on_lost(const Error& why) override {
    ++stats_.breaks;
    timer_.cancel();
    queue_.clear();
    sent_.clear();
    if (paused()) pause_reading(false);
    fail_unanswered(why.message);
    for (auto& [name, topic] : topics_) topic.resyncing = false;
    resync_left_ = 0;
    // Also when not all topics were acknowledged again: then it is lost once more.
    synced_ = false;
    if (owner_) owner_->link_lost();
  }

  void on_failed(const Error& why) override { fail_unanswered(why.message); }

  void on_idle() override {
    if (state() != State::kUp) return;
    if (owner_ && std::exchange(delivered_, false)) owner_->delivered();
    in_batch_ = false;
    if (std::exchange(drop_batch_, false)) return restart("what it brought may not be delivered");
    pump();
  }

  void on_message(std::string_view topic, std::string_view payload) override {
    if (!in_batch_) {
      in_batch_ = true;
      drop_batch_ = owner_ == nullptr || !owner_->may_deliver();
    }
    if (drop_batch_ || restarting_) return;
    const auto it = topics_.find(topic);
    if (it == topics_.end()) return;
    ++stats_.messages;
    stats_.bytes += payload.size();
    delivered_ = true;
    // The call may unsubscribe it.
    const std::shared_ptr<Sink> sink = it->second.sink;
    sink->on_message(payload);
  }

  bool on_reply(Reply reply) override {
    if (reply.is_error()) {
      broke(to_error(reply));
      return false;
    }
    if (!reply.is_array()) return true;  // PONG without subscriptions
    if (reply.items.size() != 3) return true;
    const std::string& kind = reply.items[0].text;
    const bool subscribed = kind == "ssubscribe";
    if (!subscribed && kind != "sunsubscribe") return true;
    if (sent_.empty() || sent_.front().subscribe != subscribed ||
        sent_.front().topic != reply.items[1].text) {
      // Redis unsubscribes by itself when a cluster moves a slot: then nothing here is sure.
      broke(lost("it answered what was not asked"));
      return false;
    }
    const Change change = std::move(sent_.front());
    sent_.pop_front();
    const auto it = topics_.find(change.topic);
    if (!subscribed || it == topics_.end() || it->second.serial != change.serial) return true;
    if (std::exchange(it->second.resyncing, false)) --resync_left_;
    if (it->second.done) {
      Done done = std::move(it->second.done);
      done(ok_status());
    }
    if (state() != State::kUp) return false;
    check_synced();
    return state() == State::kUp;
  }

  void check_synced() {
    if (synced_ || resync_left_ > 0) return;
    synced_ = true;
    if (owner_) owner_->link_up();
  }

  void fail_unanswered(const std::string& why) {
    std::vector<Done> failed;
    for (auto it = topics_.begin(); it != topics_.end();) {
      if (it->second.done) {
        failed.push_back(std::move(it->second.done));
        it = topics_.erase(it);
      } else {
        ++it;
      }
    }
    for (Done& done : failed) done(lost(why));
  }

  // --- Sending ---

  // Subscribes of one turn share a command and a write.
  void pump_soon() {
    if (std::exchange(pump_posted_, true)) return;
    asio::post(context(), [self = self()] {
      self->pump_posted_ = false;
      self->pump();
      if (self->state() == State::kUp) self->check_synced();
    });
  }

  void pump() {
    if (state() != State::kUp) return;
    while (!queue_.empty() && sent_.size() < config_.batch) {
      const bool subscribe = queue_.front().subscribe;
      Command command(subscribe ? "SSUBSCRIBE" : "SUNSUBSCRIBE");
      while (!queue_.empty() && queue_.front().subscribe == subscribe &&
             command.count() <= kTopicsPerCommand && sent_.size() < config_.batch) {
        command.arg(queue_.front().topic);
        sent_.push_back(std::move(queue_.front()));
        queue_.pop_front();
      }
      command.append_to(out());
    }
    write();
  }

  void beat() {
    timer_.expires_after(config_.ping_interval);
    timer_.async_wait([self = self()](boost::system::error_code error) {
      if (!error && self->state() == State::kUp) self->check_alive();
    });
  }

  void check_alive() {
    // Who does not read hears nothing.
    if (!paused()) {
      const auto last = std::max(heard(), quiet_since_);
      if (Clock::now() - last >= config_.silence)
        return broke(lost("nothing was heard for too long"));
    }
    Command("PING").append_to(out());
    write();
    beat();
  }

  const SubscriberConfig config_;
  Owner* owner_;  // nullptr: closed
  asio::steady_timer timer_;

  std::unordered_map<std::string, Topic, TextHash, std::equal_to<>> topics_;
  uint64_t serial_ = 0;
  std::deque<Change> queue_;  // to be sent
  std::deque<Change> sent_;   // in the order of the answers to come
  size_t resync_left_ = 0;    // topics that the new connection does not have yet
  bool synced_ = false;
  bool pump_posted_ = false;
  bool restarting_ = false;
  bool in_batch_ = false;
  bool drop_batch_ = false;
  bool delivered_ = false;
  Clock::time_point quiet_since_;  // when silence began to count anew
  SubscriberStats stats_;
};

Subscriber::Subscriber(asio::io_context& context, SubscriberConfig config, Owner& owner)
    : connection_(std::make_shared<Connection>(context, std::move(config), owner)) {
  connection_->start();
}

Subscriber::~Subscriber() {
  close();
}

void Subscriber::subscribe(const std::string& topic, std::shared_ptr<Sink> sink, Done done) {
  connection_->subscribe(topic, std::move(sink), std::move(done));
}

void Subscriber::unsubscribe(const std::string& topic) {
  connection_->unsubscribe(topic);
}

void Subscriber::pause(bool paused) {
  connection_->pause(paused);
}

bool Subscriber::paused() const {
  return connection_->paused();
}

void Subscriber::restart(const std::string& reason) {
  connection_->restart(reason);
}

bool Subscriber::up() const {
  return connection_->up();
}

size_t Subscriber::topics() const {
  return connection_->topics();
}

SubscriberStats Subscriber::stats() const {
  return connection_->stats();
}

void Subscriber::close() {
  connection_->close();
}

}  // namespace raymesh::redis
