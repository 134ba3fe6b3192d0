// What the operator says of channels by their names: how much history one keeps, and what becomes
// of subscribers that read too slowly. Each rule is "<pattern> key=value ...", where a pattern is a
// name, or the beginning of names followed by `*`; the first rule that fits counts.
//
//   room:*   history=100 history-ttl=5m
//   ticker:* slow=conflate conflate-key=symbol
//   logs:*   slow=drop
//
// Immutable after start-up: any thread.
#pragma once

#include <chrono>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "libs/base/result.hpp"

namespace raymesh::realtime {

enum class SlowPolicy : uint8_t {
  kDisconnect,  // close it with 4408
  kDrop,        // drop what does not fit, and say how much
  kConflate,    // keep the latest message of each key
};

struct ChannelRule {
  size_t history_messages = 0;      // 0: none is kept
  size_t history_bytes = 1u << 20;  // of payloads
  std::chrono::milliseconds history_ttl = std::chrono::minutes(5);
  SlowPolicy slow = SlowPolicy::kDisconnect;
  std::string conflate_key;  // a member of the payload, an object

  bool keeps_history() const { return history_messages > 0; }
  /// A frame holds one message only, so that each can be left out.
  bool is_lossy() const { return slow != SlowPolicy::kDisconnect; }
};

class ChannelRules {
 public:
  /// Errors: invalid_value, naming the rule and what is wrong with it.
  static Result<ChannelRules> parse(const std::vector<std::string>& rules);

  const ChannelRule& find(std::string_view channel) const;

 private:
  struct Entry {
    std::string name;  // without the `*`
    bool is_pattern;
    ChannelRule rule;
  };
  std::vector<Entry> entries_;
  ChannelRule none_;
};

}  // namespace raymesh::realtime
