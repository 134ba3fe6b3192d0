#include "libs/rpc/peer_group.hpp"

#include <algorithm>

#include "libs/rpc/credentials.hpp"
#include "libs/rpc/timers.hpp"

namespace raymesh::rpc {
namespace {

// A ticket of the group: the core in the upper bits, the core's own ticket below.
constexpr uint32_t kCoreShift = 56;
constexpr uint64_t kTicketMask = (uint64_t{1} << kCoreShift) - 1;

}  // namespace

PeerGroup::PeerGroup(PeerConfig config, Dialer dialer)
    : own_threads_(config.threads ? nullptr
                                  : std::make_unique<net::IoThreads>(
                                        1, "to-" + role_of_service(config.service))),
      threads_(config.threads ? config.threads : own_threads_.get()),
      dialer_(std::make_shared<const Dialer>(std::move(dialer))) {
  const auto shared = std::make_shared<PeerShared>(config);
  const size_t count = threads_->size();
  // A bound for all is a share for each; no share may be too small to be of use.
  config.limits.max_calls = std::max<size_t>(config.limits.max_calls / count, 1);
  config.limits.max_buffered_bytes =
      std::max(config.limits.max_buffered_bytes / count, config.limits.max_reply_bytes);
  for (size_t i = 0; i < count; ++i)
    cores_.push_back(std::make_shared<PeerCore>(config, dialer_, shared, Place{threads_, i}));
}

PeerGroup::~PeerGroup() {
  close();
  if (!own_threads_ || !own_threads_->here()) return;
  // A thread cannot join itself, and it has yet to end the streams: that was posted before this.
  threads_->post(0, [threads = std::move(own_threads_)]() mutable {
    Timers::shared().at(Clock::now(),
                        [threads = std::move(threads)]() mutable { threads.reset(); });
  });
}

uint64_t PeerGroup::call(std::string_view method, const common::v1::CallContext& context,
                         std::string payload, const CallOptions& options, Done done) {
  const size_t core = threads_->here().value_or(0);
  const uint64_t ticket =
      cores_[core]->call(method, context, std::move(payload), options, std::move(done));
  return ticket == 0 ? 0 : ticket | static_cast<uint64_t>(core) << kCoreShift;
}

void PeerGroup::cancel(uint64_t ticket) {
  const size_t core = ticket >> kCoreShift;
  if (core < cores_.size()) cores_[core]->cancel(ticket & kTicketMask);
}

// Every thread has a stream, because each makes calls.
bool PeerGroup::ready() const {
  return std::all_of(cores_.begin(), cores_.end(), [](const auto& core) { return core->ready(); });
}

void PeerGroup::close() {
  for (const auto& core : cores_) core->close();
  for (const auto& core : cores_) core->wait_closed();
}

std::vector<std::string> PeerGroup::addresses() {
  std::lock_guard lock(mutex_);
  used_ = true;
  return addresses_;
}

void PeerGroup::set_addresses(const std::vector<std::string>& addresses) {
  {
    std::lock_guard lock(mutex_);
    addresses_ = addresses;
  }
  for (const auto& core : cores_) core->set_addresses(addresses);
}

bool PeerGroup::take_used() {
  bool used = false;
  {
    std::lock_guard lock(mutex_);
    used = std::exchange(used_, false);
  }
  for (const auto& core : cores_) used |= core->take_used();
  return used;
}

}  // namespace raymesh::rpc
