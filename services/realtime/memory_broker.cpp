#include "services/realtime/memory_broker.hpp"

#include "services/realtime/channel_actor.hpp"

namespace raymesh::realtime {
namespace {

/// Answers once: with what the actor says, or with `otherwise` when the channel is given up while
/// the question is on its way, which is what a channel without members would say.
template <class T>
class Answer {
 public:
  Answer(UniqueFunction<void(Result<T>)> done, T otherwise)
      : done_(std::move(done)), otherwise_(std::move(otherwise)) {}
  Answer(Answer&&) noexcept = default;
  Answer& operator=(Answer&&) = delete;
  ~Answer() {
    if (done_) done_(std::move(otherwise_));
  }
  void operator()(T value) { std::exchange(done_, nullptr)(std::move(value)); }

 private:
  UniqueFunction<void(Result<T>)> done_;
  T otherwise_;
};

}  // namespace

void MemoryBroker::publish(const std::string&, const std::string&, const ChannelPtr& local,
                           std::shared_ptr<const PublishBatch> batch, Delivered done) {
  if (!local) {
    if (done) done(uint64_t{0});
    return;
  }
  Publish message{std::move(batch), nullptr};
  if (done)
    message.done =
        std::make_shared<UniqueFunction<void(size_t)>>(Answer<uint64_t>(std::move(done), 0));
  tell(*local, std::move(message));
}

void MemoryBroker::presence(const std::string&, const std::string&, const ChannelPtr& local,
                            Presence done) {
  if (!local) {
    done(std::string("[]"));
    return;
  }
  tell(*local, ReadPresence{std::make_shared<UniqueFunction<void(std::string)>>(
                   Answer<std::string>(std::move(done), "[]"))});
}

}  // namespace raymesh::realtime
