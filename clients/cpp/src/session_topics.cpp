// The part of Session that keeps subscriptions going over its connections: what the readers want
// (topics_), what the gateway has of it (lines_), and how the one is made to follow the other. Of
// one name there is one SUBSCRIBE on its way at a time: the gateway refuses the end of a
// subscription that it has not answered, and a new one of a name that is not ended yet.
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <set>

#include "clients/cpp/src/retry.hpp"
#include "clients/cpp/src/session.hpp"

namespace raymesh::client {

std::shared_ptr<Reader> Session::make_reader(const std::string& name) const {
  return std::make_shared<Reader>(name, options_.max_queued_events);
}

Session::TopicPtr Session::find_topic(const TopicKey& key) const {
  const auto found = topics_.find(key);
  return found != topics_.end() ? found->second : nullptr;
}

void Session::take_event(const v1::Event& event) {
  const TopicKey key{event.kind(), event.name()};
  const auto line = lines_.find(key);
  if (line == lines_.end() || !line->second->topic) return;
  const TopicPtr topic = line->second->topic;
  const bool is_end = event.type() == v1::Event::END;
  if (is_end) line->second->topic = nullptr;
  // Of one that has been left, until the gateway knows.
  if (find_topic(key) != topic) return;
  const bool some_ended = topic->take(event);
  if (is_end)
    return fail_topic(topic,
                      Error(ErrorCode::kPermissionDenied, 403, "permission_denied",
                            "the subscription to \"" + topic->name + "\" was revoked", {}, false));
  if (!some_ended) return;
  std::erase_if(topic->readers, [](const auto& reader) { return reader->is_over(); });
  leave_topic(topic);
}

void Session::add_reader(const std::shared_ptr<Reader>& reader, const std::string& name,
                         const SubscribeOptions& options) {
  if (ending_) return reader->fail(client_closed());
  const int kind = static_cast<int>(options.kind_);
  TopicPtr& topic = topics_[{kind, name}];
  const bool is_new = topic == nullptr;
  if (is_new) {
    topic = std::make_shared<Topic>();
    topic->kind = static_cast<v1::StreamKind>(kind);
    topic->name = name;
    topic->position = options.from_;
    topic->presence = options.presence_;
  } else if (!options.from_.empty() || (options.presence_ && !topic->presence)) {
    return reader->fail(invalid_option(
        '"' + name +
        "\" is subscribed to already: `from` and `presence` are for its first reader"));
  }
  reader->topic = topic;
  topic->readers.insert(reader);
  if (topic->known) reader->set_ready();
  if (!is_new) return;
  if (connection_)
    follow({kind, name});
  else
    start_connecting();  // the connection asks for all that there are
}

// --- Connections ---------------------------------------------------------------------------------

// What the gateway has follows what the readers want, from here on.
void Session::follow_topics(const ConnectionPtr& connection) {
  subscribing_ = connection;
  std::set<TopicKey> keys;
  for (const auto& [key, topic] : topics_) keys.insert(key);
  for (const auto& [key, line] : lines_) keys.insert(key);
  for (const TopicKey& key : keys) follow(key);
}

asio::awaitable<void> Session::resume_topics(ConnectionPtr connection) {
  std::vector<v1::Resume::Subscription> asked;
  for (const auto& [key, topic] : topics_) {
    if (!topic->known || topic->position.empty()) continue;
    v1::Resume::Subscription subscription;
    subscription.set_kind(topic->kind);
    subscription.set_name(topic->name);
    subscription.set_position(topic->position);
    subscription.set_presence(topic->presence);
    subscription.set_batches(true);
    asked.push_back(std::move(subscription));
    // Events follow the answer at once.
    lines_.emplace(key, std::make_shared<Line>(topic));
  }
  const Connection::ResumeAnswer answer = co_await connection->resume(std::move(asked));
  // Only now: as long as the answer has not come, the old secret is the one that is valid in any
  // case.
  keep_resumption(*connection);
  for (const auto* list : {&answer.left, &answer.ended})
    for (const auto& subscription : *list) lines_.erase({subscription.kind(), subscription.name()});
  // Some may have been left or begun meanwhile.
  follow_topics(connection);
}

void Session::follow(const TopicKey& key) {
  if (!subscribing_) return;
  std::shared_ptr<Line>& line = lines_[key];
  if (!line) line = std::make_shared<Line>();
  if (std::exchange(line->asking, true)) return;
  asio::co_spawn(strand_, settle(shared_from_this(), subscribing_, key, line), asio::detached);
}

asio::awaitable<void> Session::settle(std::shared_ptr<Session> /*kept*/, ConnectionPtr connection,
                                      TopicKey key, std::shared_ptr<Line> line) {
  bool goes_on = true;
  while (goes_on && !connection->is_over() && line->topic != find_topic(key)) {
    if (line->topic)
      goes_on = co_await end_topic(connection, *line);
    else
      co_await ask_for_topic(connection, *line, find_topic(key));
  }
  line->asking = false;
  line->changed.notify();
  const auto found = lines_.find(key);
  if (!line->topic && !find_topic(key) && found != lines_.end() && found->second == line)
    lines_.erase(found);
}

// What was there before waits for a part behind the gateway as long as that is away.
asio::awaitable<void> Session::ask_for_topic(ConnectionPtr connection, Line& line, TopicPtr topic) {
  for (int attempt = 0; !topic->over && !connection->is_over(); ++attempt) {
    // Events behind the answer may be here before it is looked at.
    line.topic = topic;
    topic->known = false;
    const Outcome outcome = co_await connection->subscribe(topic->kind, topic->name, true,
                                                           topic->position, topic->presence);
    // A connection that went: the next one asks again.
    if (outcome.lost) co_return;
    if (!outcome.error) co_return topic->begins(outcome.result);
    line.topic = nullptr;
    const Error& error = *outcome.error;
    if (!error.retryable() || (!topic->was_there && attempt + 1 >= kTries))
      co_return fail_topic(topic, error);
    const auto until = Clock::now() + error.retry_after() + backoff(attempt);
    while (!topic->over && Clock::now() < until) co_await topic->changed.wait(until);
  }
}

// False: the gateway may still have it.
asio::awaitable<bool> Session::end_topic(ConnectionPtr connection, Line& line) {
  const TopicPtr topic = line.topic;
  for (int attempt = 0; attempt < kTries && !ending_; ++attempt) {
    const Outcome outcome = co_await connection->subscribe(topic->kind, topic->name, false, {});
    if (outcome.lost) co_return false;
    // Refused for good: it has ended by itself.
    if (!outcome.error || !outcome.error->retryable()) {
      line.topic = nullptr;
      co_return true;
    }
    co_await pause(outcome.error->retry_after() + backoff(attempt));
  }
  co_return false;
}

// --- The end -------------------------------------------------------------------------------------

void Session::leave_topic(const TopicPtr& topic) {
  const TopicKey key{topic->kind, topic->name};
  if (!topic->readers.empty() || find_topic(key) != topic) return;
  topics_.erase(key);
  topic->end();
  // Without a connection there is nothing to say: the next one names what goes on.
  follow(key);
}

asio::awaitable<void> Session::remove_reader(std::shared_ptr<Reader> reader) {
  reader->close();
  const TopicPtr topic = std::exchange(reader->topic, nullptr);
  if (!topic) co_return;
  topic->readers.erase(reader);
  leave_topic(topic);
  const auto found = lines_.find({topic->kind, topic->name});
  if (found == lines_.end() || !topic->over) co_return;
  const std::shared_ptr<Line> line = found->second;
  while (line->asking) co_await line->changed.wait();
}

void Session::fail_topic(const TopicPtr& topic, const Error& error) {
  const TopicKey key{topic->kind, topic->name};
  if (find_topic(key) == topic) topics_.erase(key);
  topic->end();
  for (const auto& reader : topic->readers) reader->fail(error);
  topic->readers.clear();
}

}  // namespace raymesh::client
