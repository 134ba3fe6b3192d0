// Names and small decisions that the parts of the redis broker share. Pure; any thread.
#pragma once

#include <chrono>
#include <string>

#include "libs/base/result.hpp"
#include "libs/redis/reply.hpp"
#include "services/realtime/channel_rules.hpp"
#include "services/realtime/topic_message.hpp"

namespace raymesh::realtime {

inline constexpr const char* kControlTopic = "rm:rt:control";
inline constexpr std::chrono::milliseconds kIdleLife{60'000};

/// What the scripts call a channel. A project's id has no slash.
inline std::string channel_key(const std::string& project, const std::string& name) {
  std::string key;
  key.reserve(project.size() + 1 + name.size());
  return key.append(project).append(1, '/').append(name);
}
inline std::string channel_topic(const std::string& key) {
  return "rm:rt:t:" + key;
}
inline std::string node_topic(NodeId node) {
  return "rm:rt:to:" + node_text(node);
}

/// How long a channel's epoch outlives its last member.
inline std::chrono::milliseconds idle_life(const ChannelRule& rule) {
  return rule.keeps_history() ? std::max(rule.history_ttl, kIdleLife) : kIdleLife;
}

/// Random enough for an epoch that may be needed; cheap, because it mostly is not.
uint64_t propose_epoch();

/// The script has refused the caller's ring.
bool is_old_ring(const redis::Reply& reply);
/// Nothing was changed in Redis.
bool was_refused(const Error& error);
/// What a caller is told of a write that failed.
Error answer_of_write(const Error& error);

}  // namespace raymesh::realtime
