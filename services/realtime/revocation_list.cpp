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

void RevocationList::sweep(int64_t now) {
  for (auto it = entries_.begin(); it != entries_.end();) {
    if (it->second.keep_until >= now) {
      ++it;
      continue;
    }
    const std::string& text = it->first.second;
    const auto project = of_project_.find(text.substr(0, text.find('\0')));
    if (--project->second == 0) of_project_.erase(project);
    it = entries_.erase(it);
  }
  sweep_at_ = std::max(kFirstSweep, 2 * entries_.size());
}

Status RevocationList::room_for(const Revocation& revocation, int64_t now) {
  const std::lock_guard lock(mutex_);
  const auto full = [&] {
    const auto project = of_project_.find(revocation.project);
    return project != of_project_.end() && project->second >= kMostOfProject &&
           !entries_.contains(key(revocation.by, revocation.project, revocation.value));
  };
  if (!full()) return ok_status();
  // Once a second, or a project that is at its bound would have everybody wait for the sweeping.
  if (now > swept_) {
    swept_ = now;
    sweep(now);
    if (!full()) return ok_status();
  }
  return Error(errors::kRateLimited,
               "the project has " + std::to_string(kMostOfProject) +
                   " revocations in force, as many as it may have; give new tokens a shorter life",
               std::chrono::seconds(60));
}

void RevocationList::add(const Revocation& revocation, int64_t now) {
  const std::lock_guard lock(mutex_);
  // Not at each one: looking through all of them takes time in which nobody can connect.
  if (entries_.size() >= sweep_at_) sweep(now);
  const auto [entry, is_new] =
      entries_.try_emplace(key(revocation.by, revocation.project, revocation.value));
  if (is_new) ++of_project_[revocation.project];
  Times& times = entry->second;
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
