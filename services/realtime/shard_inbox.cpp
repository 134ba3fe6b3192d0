#include "services/realtime/shard_inbox.hpp"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

namespace raymesh::realtime {

ShardInbox::ShardInbox() : wake_fd_(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
  if (wake_fd_ < 0) throw std::system_error(errno, std::generic_category(), "eventfd");
}

ShardInbox::~ShardInbox() {
  ::close(wake_fd_);
}

void ShardInbox::post(InboxItem item) {
  if (const auto* delivery = std::get_if<Delivery>(&item))
    queued_bytes_.fetch_add(delivery->what.span.size(), std::memory_order_relaxed);
  bool wake;
  {
    const std::lock_guard lock(mutex_);
    items_.push_back(std::move(item));
    wake = std::exchange(sleeping_, false);
  }
  if (wake) {
    const uint64_t one = 1;
    [[maybe_unused]] const auto n = ::write(wake_fd_, &one, sizeof one);
  }
}

void ShardInbox::take(std::vector<InboxItem>& out) {
  const std::lock_guard lock(mutex_);
  items_.swap(out);
}

bool ShardInbox::prepare_sleep() {
  const std::lock_guard lock(mutex_);
  sleeping_ = items_.empty();
  return sleeping_;
}

void ShardInbox::awake() {
  const std::lock_guard lock(mutex_);
  sleeping_ = false;
}

}  // namespace raymesh::realtime
