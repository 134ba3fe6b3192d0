// The part of Session that keeps subscriptions going over its connections.
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <set>

#include "clients/cpp/src/retry.hpp"
#include "clients/cpp/src/session.hpp"

namespace raymesh::client {

std::shared_ptr<Reader> Session::make_reader(const std::string& name) const {
  return std::make_shared<Reader>(name, options_.max_queued_events);
}

Session::TopicPtr Session::find_topic(int kind, const std::string& name) const {
  const auto found = topics_.find({kind, name});
  return found != topics_.end() ? found->second : nullptr;
}

void Session::take_event(const v1::Event& event) {
  const TopicPtr topic = find_topic(event.kind(), event.name());
  if (!topic) return;
  const bool some_ended = topic->take(event);
  if (event.type() == v1::Event::END)
    return fail_topic(topic,
                      Error(ErrorCode::kPermissionDenied, 403, "permission_denied",
                            "the subscription to \"" + topic->name + "\" was revoked", {}, false));
  if (!some_ended) return;
  std::erase_if(topic->readers, [](const auto& reader) { return reader->is_over(); });
  if (topic->readers.empty())
    asio::co_spawn(
        strand_,
        [](std::shared_ptr<Session> self, TopicPtr left) -> asio::awaitable<void> {
          co_await self->leave_topic(std::move(left));
        }(shared_from_this(), topic),
        asio::detached);
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
    subscribe_topic(connection_, topic);
  else
    start_connecting();  // the connection asks for all that there are
}

void Session::subscribe_topic(const ConnectionPtr& connection, const TopicPtr& topic) {
  topic->live = true;
  topic->known = false;
  asio::co_spawn(strand_, ask_for_topic(shared_from_this(), connection, topic), asio::detached);
}

asio::awaitable<void> Session::ask_for_topic(std::shared_ptr<Session> /*kept*/,
                                             ConnectionPtr connection, TopicPtr topic) {
  // What was there before waits for a part behind the gateway as long as that is away.
  const bool was_there = !topic->position.empty();
  for (int attempt = 0;; ++attempt) {
    const Outcome outcome = co_await connection->subscribe(topic->kind, topic->name, true,
                                                           topic->position, topic->presence);
    // A connection that went: the next one asks again.
    if (outcome.lost) co_return;
    if (!outcome.error) {
      topic->set_known();
      // Events behind it may have come already.
      if (topic->position.empty()) topic->position = outcome.result;
      co_return;
    }
    const Error& error = *outcome.error;
    if (!error.retryable() || (!was_there && attempt + 1 >= kTries))
      co_return fail_topic(topic, error);
    co_await pause(error.retry_after() + backoff(attempt));
    if (ending_ || connection->is_over() || find_topic(topic->kind, topic->name) != topic)
      co_return;
  }
}

asio::awaitable<void> Session::resume_topics(ConnectionPtr connection) {
  std::vector<v1::Resume::Subscription> asked;
  std::set<TopicKey> going;
  for (const auto& [key, topic] : topics_) {
    if (!topic->known || topic->position.empty()) continue;
    v1::Resume::Subscription subscription;
    subscription.set_kind(topic->kind);
    subscription.set_name(topic->name);
    subscription.set_position(topic->position);
    subscription.set_presence(topic->presence);
    subscription.set_batches(true);
    asked.push_back(std::move(subscription));
    going.insert(key);
  }
  const Connection::ResumeAnswer answer = co_await connection->resume(std::move(asked));
  // Only now: as long as the answer has not come, the old secret is the one that is valid in any
  // case.
  keep_resumption(*connection);
  for (const auto* list : {&answer.left, &answer.ended})
    for (const auto& subscription : *list) going.erase({subscription.kind(), subscription.name()});
  for (const auto& [key, topic] : topics_) {
    if (going.erase(key) > 0)
      topic->live = true;
    else
      subscribe_topic(connection, topic);
  }
  // Whose readers have left meanwhile.
  for (const TopicKey& key : going)
    asio::co_spawn(
        strand_,
        [](ConnectionPtr on, TopicKey gone) -> asio::awaitable<void> {
          (void)co_await on->subscribe(static_cast<v1::StreamKind>(gone.first), gone.second, false,
                                       {});
        }(connection, key),
        asio::detached);
}

asio::awaitable<void> Session::leave_topic(TopicPtr topic) {
  const auto found = topics_.find({topic->kind, topic->name});
  if (found == topics_.end() || found->second != topic || !topic->readers.empty()) co_return;
  topics_.erase(found);
  // Without a connection there is nothing to say: the next one names what goes on.
  const ConnectionPtr connection = connection_;
  if (topic->live && connection)
    (void)co_await connection->subscribe(topic->kind, topic->name, false, {});
}

asio::awaitable<void> Session::remove_reader(std::shared_ptr<Reader> reader) {
  reader->close();
  const TopicPtr topic = std::exchange(reader->topic, nullptr);
  if (!topic) co_return;
  topic->readers.erase(reader);
  co_await leave_topic(topic);
}

void Session::fail_topic(const TopicPtr& topic, const Error& error) {
  const auto found = topics_.find({topic->kind, topic->name});
  if (found != topics_.end() && found->second == topic) topics_.erase(found);
  for (const auto& reader : topic->readers) reader->fail(error);
  topic->readers.clear();
}

}  // namespace raymesh::client
