// The session behind a Client: connects when it is needed, resumes or begins anew when a connection
// drops, repeats what may be repeated. Its state lives on a strand: all of it is used there, but
// for what the mutex guards. Kept by the client and by what is under way.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "clients/cpp/src/address.hpp"
#include "clients/cpp/src/connection.hpp"
#include "clients/cpp/src/reader.hpp"
#include "clients/cpp/src/waiters.hpp"
#include "raymesh/client/options.hpp"

namespace raymesh::client {

class Session : public std::enable_shared_from_this<Session> {
 public:
  /// Throws Error, `invalid_option`.
  Session(const asio::any_io_executor& executor, Options options);

  const asio::any_io_executor& strand() const { return strand_; }

  asio::awaitable<void> connect();
  asio::awaitable<std::string> call(std::string method, std::string args, CallOptions options,
                                    bool json);
  asio::awaitable<void> close();
  /// The end without a word.
  void drop();

  std::shared_ptr<Reader> make_reader(const std::string& name) const;
  void add_reader(const std::shared_ptr<Reader>& reader, const std::string& name,
                  const SubscribeOptions& options);
  asio::awaitable<void> remove_reader(std::shared_ptr<Reader> reader);

  // Any thread.
  State state() const;
  std::string session_id() const;
  std::string cipher() const;

 private:
  using ConnectionPtr = std::shared_ptr<Connection>;
  using TopicPtr = std::shared_ptr<Topic>;
  using TopicKey = std::pair<int, std::string>;

  /// One try after the other until there is a connection, or an error that stays.
  struct Attempt {
    bool done = false;
    std::optional<Error> error;
    Waiters changed;
  };

  /// A name on the connection that is up.
  struct Line {
    explicit Line(TopicPtr whose = nullptr) : topic(std::move(whose)) {}
    /// Whose events come. Another one than the readers want: it is to be ended.
    TopicPtr topic;
    /// SUBSCRIBE is on its way, or a pause before the next one: what is wanted by then comes after.
    bool asking = false;
    Waiters changed;
  };

  asio::awaitable<ConnectionPtr> connected(Clock::time_point deadline, std::string method,
                                           std::chrono::milliseconds timeout);
  /// The attempt that is under way, or a new one. Not while there is a connection.
  std::shared_ptr<Attempt> start_connecting();
  asio::awaitable<void> connect_until_done(std::shared_ptr<Session> self,
                                           std::shared_ptr<Attempt> attempt);
  asio::awaitable<ConnectionPtr> connect_once();
  asio::awaitable<void> fetch_keys();
  asio::awaitable<void> resume_topics(ConnectionPtr connection);
  void finish(Attempt& attempt, const Error& error);
  void stop_connecting();
  asio::awaitable<void> pause(std::chrono::milliseconds time);
  void on_end(const Connection* connection, const Error& error, bool resumable);
  void keep_resumption(Connection& connection);
  void forget();
  void change(State state, const Error* error);

  void follow_topics(const ConnectionPtr& connection);
  void follow(const TopicKey& key);
  asio::awaitable<void> settle(std::shared_ptr<Session> self, ConnectionPtr connection,
                               TopicKey key, std::shared_ptr<Line> line);
  asio::awaitable<void> ask_for_topic(ConnectionPtr connection, Line& line, TopicPtr topic);
  asio::awaitable<bool> end_topic(ConnectionPtr connection, Line& line);
  void leave_topic(const TopicPtr& topic);
  void take_event(const v1::Event& event);
  void fail_topic(const TopicPtr& topic, const Error& error);
  TopicPtr find_topic(const TopicKey& key) const;

  const Options options_;
  const Address address_;
  const asio::any_io_executor strand_;
  std::vector<raystream::Cipher> ciphers_;
  std::optional<std::vector<raystream::PinnedKey>> keys_;
  std::optional<raystream::Resumption> resumption_;
  ConnectionPtr connection_;
  ConnectionPtr opening_;
  std::shared_ptr<Attempt> attempt_;  // the one that is under way
  Waiters pauses_;
  std::shared_ptr<asio::cancellation_signal> fetching_;  // of the keys
  bool ending_ = false;
  int failures_ = 0;  // connections in a row that came to nothing, or lived shortly
  Clock::time_point since_{};
  std::optional<Error> last_error_;
  std::map<TopicKey, TopicPtr> topics_;
  std::map<TopicKey, std::shared_ptr<Line>> lines_;
  ConnectionPtr subscribing_;  // that takes SUBSCRIBE

  mutable std::mutex mutex_;
  State state_ = State::kIdle;  // the rest: guarded by mutex_
  std::string session_id_;
  std::string cipher_;
};

}  // namespace raymesh::client
