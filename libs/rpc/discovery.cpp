#include "libs/rpc/discovery.hpp"

#include <algorithm>

#include "libs/net/unix_address.hpp"
#include "libs/rpc/peer_group.hpp"
#include "libs/rpc/resolver.hpp"
#include "libs/rpc/timers.hpp"

namespace raymesh::rpc {
namespace {

constexpr std::string_view kDns = "dns:";

bool is_port(std::string_view text) {
  if (text.empty() || text.size() > 5 ||
      text.find_first_not_of("0123456789") != std::string_view::npos)
    return false;
  const int port = std::stoi(std::string(text));
  return port > 0 && port < 65'536;
}

}  // namespace

Status Discovery::check(std::string_view endpoint) {
  std::string_view address = endpoint;
  if (address.starts_with(net::kUnixPrefix)) {
    const size_t path = address.size() - net::kUnixPrefix.size();
    if (path > 0 && path <= net::kMaxUnixPath) return ok_status();
  }
  if (address.starts_with(kDns)) address.remove_prefix(kDns.size());
  const size_t colon = address.rfind(':');
  if (colon == std::string_view::npos || colon == 0 || !is_port(address.substr(colon + 1)))
    return Error(errors::kInvalidValue, "endpoint '" + std::string(endpoint) +
                                            "': expected host:port, unix:/path or dns:name:port");
  return ok_status();
}

Discovery::Discovery(const std::vector<std::string>& endpoints, std::weak_ptr<PeerGroup> group)
    : group_(std::move(group)) {
  for (const auto& endpoint : endpoints) {
    if (!endpoint.starts_with(kDns)) {
      fixed_.push_back(endpoint);
      continue;
    }
    const size_t colon = endpoint.rfind(':');
    names_.push_back(
        {endpoint.substr(kDns.size(), colon - kDns.size()), endpoint.substr(colon + 1), {}});
  }
}

void Discovery::start() {
  publish();
  tick();
}

void Discovery::publish() {
  std::vector<std::string> all;
  {
    std::lock_guard lock(mutex_);
    all = fixed_;
    for (const auto& name : names_)
      all.insert(all.end(), name.addresses.begin(), name.addresses.end());
  }
  std::sort(all.begin(), all.end());
  all.erase(std::unique(all.begin(), all.end()), all.end());
  if (auto group = group_.lock()) group->set_addresses(all);
}

void Discovery::tick() {
  if (names_.empty()) return;
  auto group = group_.lock();
  if (!group) return;
  if (!group->take_used() && group->ready()) return look_up_later();
  {
    std::lock_guard lock(mutex_);
    outstanding_ = names_.size();
  }
  for (size_t i = 0; i < names_.size(); ++i) look_up(i);
}

void Discovery::look_up(size_t index) {
  Resolver::shared().resolve(
      names_[index].host, names_[index].port,
      [self = shared_from_this(), index](std::vector<std::string> addresses) {
        bool last = false;
        bool changed = false;
        {
          std::lock_guard lock(self->mutex_);
          auto& known = self->names_[index].addresses;
          if (!addresses.empty() && addresses != known) {
            known = std::move(addresses);
            changed = true;
          }
          last = --self->outstanding_ == 0;
        }
        if (changed) self->publish();
        if (last) self->look_up_later();
      });
}

void Discovery::look_up_later() {
  Timers::shared().at(Clock::now() + std::chrono::seconds(kEverySeconds),
                      [self = shared_from_this()] { self->tick(); });
}

}  // namespace raymesh::rpc
