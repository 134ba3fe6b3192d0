#include "services/realtime/revocation_list.hpp"

#include <algorithm>

namespace raymesh::realtime {

RevocationList::Key RevocationList::key(Revocation::By by, std::string_view project,
                                        std::string_view value) {
  // A project's id has no control character.
  std::string text(project);
  text += '\0';
  text += value;
  return {by, std::move(text)};
}

void RevocationList::add(const Revocation& revocation, int64_t now) {
  const std::lock_guard lock(mutex_);
  // Not at each one: looking through all of them takes time in which nobody can connect.
  if (entries_.size() >= sweep_at_) {
    std::erase_if(entries_, [now](const auto& entry) { return entry.second.keep_until < now; });
    sweep_at_ = std::max(kFirstSweep, 2 * entries_.size());
  }
  Times& times = entries_[key(revocation.by, revocation.project, revocation.value)];
  times.issued_by = std::max(times.issued_by, revocation.issued_by);
  times.keep_until = std::max(times.keep_until, revocation.keep_until);
  is_empty_ = false;
}

bool RevocationList::concerns(Revocation::By by, const Grant& grant, std::string_view value) const {
  if (value.empty()) return false;
  const auto it = entries_.find(key(by, grant.project, value));
  if (it == entries_.end()) return false;
  // A token is this one whatever the clock of the node that has minted it said.
  return by == Revocation::By::kTokenId || grant.issued_at <= it->second.issued_by;
}

bool RevocationList::is_revoked(const Grant& grant) const {
  if (is_empty_) return false;
  const std::lock_guard lock(mutex_);
  return concerns(Revocation::By::kTokenId, grant, grant.id) ||
         concerns(Revocation::By::kIdentity, grant, grant.identity) ||
         concerns(Revocation::By::kUser, grant, grant.user) ||
         concerns(Revocation::By::kSession, grant, grant.session);
}

bool RevocationList::is_channel_revoked(const Grant& grant, std::string_view channel) const {
  if (is_empty_) return false;
  const std::lock_guard lock(mutex_);
  return concerns(Revocation::By::kChannel, grant, channel);
}

size_t RevocationList::size() const {
  const std::lock_guard lock(mutex_);
  return entries_.size();
}

}  // namespace raymesh::realtime
