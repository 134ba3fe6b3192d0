#include "services/realtime/memory_broker.hpp"

#include "services/realtime/channel_actor.hpp"
#include "services/realtime/channel_members.hpp"

namespace raymesh::realtime {
namespace {

/// Answers once: with what the actor says, or with what `otherwise` gives when the channel is given
/// up while the question is on its way, which is what a channel without members would say.
template <class T, class Otherwise>
class Once {
 public:
  Once(Answer<T> done, Otherwise otherwise)
      : done_(std::move(done)), otherwise_(std::move(otherwise)) {}
  Once(Once&&) noexcept = default;
  Once& operator=(Once&&) = delete;
  ~Once() {
    if (done_) done_(otherwise_());
  }
  void operator()(T value) { std::exchange(done_, nullptr)(std::move(value)); }

 private:
  Answer<T> done_;
  Otherwise otherwise_;
};

template <class T, class Otherwise>
auto shared(Answer<T> done, Otherwise otherwise) {
  return std::make_shared<UniqueFunction<void(T)>>(
      Once<T, Otherwise>(std::move(done), std::move(otherwise)));
}

// Where nobody counts a channel's messages, each batch is an epoch of its own.
Published to_nobody(size_t messages) {
  return {0, {new_epoch(), messages}};
}

HistoryPage nothing() {
  return {{new_epoch(), 0}, {}};
}

PresencePage nobody() {
  PresencePage page;
  page.members_json = "[]";
  return page;
}

// Neither an identity nor a project's id has a control character.
std::string project_scope(const Member& member) {
  return member.project;
}
std::string identity_scope(const Member& member) {
  return member.project + '\0' + member.identity;
}

}  // namespace

void MemoryBroker::publish(const std::string& project, const std::string& name,
                           const ChannelPtr& local, std::shared_ptr<const PublishBatch> batch,
                           Answer<Published> done) {
  ChannelPtr channel = local;
  if (!channel && node_.rules.find(name).keeps_history()) {
    channel = node_.obtain(project, name);
    if (!channel) {
      if (done) done(Error(errors::kOverloaded, "this node has as many channels as it may have"));
      return;
    }
  }
  if (!channel) {
    if (done) done(to_nobody(batch->count()));
    return;
  }
  Publish message{std::move(batch), nullptr};
  if (done)
    message.done = shared(std::move(done),
                          [messages = message.batch->count()] { return to_nobody(messages); });
  tell(*channel, std::move(message));
}

void MemoryBroker::enter(const ChannelPtr& channel, const MemberPtr& member,
                         Answer<std::string> done) {
  done(member->id);
  if (!channel->watched) return;
  MemberEvent event{true, {}};
  append_member_json(event.member_json, *member);
  tell(*channel, std::move(event));
}

void MemoryBroker::leave(const ChannelPtr& channel, const MemberPtr& member,
                         std::chrono::milliseconds) {
  if (!channel->watched) return;
  MemberEvent event{false, {}};
  append_member_json(event.member_json, *member);
  tell(*channel, std::move(event));
}

void MemoryBroker::history(const std::string&, const std::string&, const ChannelPtr& local,
                           Position since, size_t limit, Answer<HistoryPage> done) {
  if (!local) return done(nothing());
  tell(*local, ReadHistory{since, limit, shared(std::move(done), nothing)});
}

void MemoryBroker::presence(const std::string&, const std::string&, const ChannelPtr& local,
                            PresenceQuery query, Answer<PresencePage> done) {
  if (!local) return done(nobody());
  tell(*local, ReadPresence{std::move(query), shared(std::move(done), nobody)});
}

void MemoryBroker::admit(const MemberPtr& member, Answered done) {
  if (!node_.limits.any()) return done(ok_status());
  const std::string project = project_scope(*member);
  const std::string identity = identity_scope(*member);
  const char* full = nullptr;
  {
    const std::lock_guard lock(mutex_);
    uint64_t& in_project = connections_[project];
    if (node_.limits.per_project > 0 && in_project >= node_.limits.per_project) {
      full = "the project";
    } else if (node_.limits.per_identity > 0 && !member->identity.empty() &&
               connections_[identity] >= node_.limits.per_identity) {
      full = "the identity";
    } else {
      ++in_project;
      if (!member->identity.empty()) ++connections_[identity];
    }
  }
  if (full)
    return done(Error(errors::kTooManyConnections,
                      std::string(full) + " has as many connections as it may have",
                      std::chrono::seconds(5)));
  done(ok_status());
}

void MemoryBroker::dismiss(const MemberPtr& member) {
  if (!node_.limits.any()) return;
  const std::lock_guard lock(mutex_);
  auto less = [this](const std::string& scope) {
    const auto it = connections_.find(scope);
    if (it != connections_.end() && --it->second == 0) connections_.erase(it);
  };
  less(project_scope(*member));
  if (!member->identity.empty()) less(identity_scope(*member));
}

void MemoryBroker::revoke(Revocation revocation, Answer<RevokeReport> done) {
  node_.revoke(revocation, [done = std::move(done)](uint64_t closed) mutable {
    done(RevokeReport{closed, 1, 0});
  });
}

}  // namespace raymesh::realtime
