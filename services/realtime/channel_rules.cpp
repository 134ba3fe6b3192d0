#include "services/realtime/channel_rules.hpp"

#include <charconv>

#include "libs/config/values.hpp"

namespace raymesh::realtime {
namespace {

constexpr size_t kMaxHistoryMessages = 100'000;
constexpr uint64_t kMaxHistoryBytes = 64u << 20;
constexpr std::chrono::hours kMaxHistoryTtl{24 * 7};

std::string_view next_word(std::string_view& text) {
  const size_t begin = text.find_first_not_of(' ');
  if (begin == std::string_view::npos) return text = {};
  text.remove_prefix(begin);
  const size_t end = std::min(text.find(' '), text.size());
  const std::string_view word = text.substr(0, end);
  text.remove_prefix(end);
  return word;
}

/// An explanation of what is wrong; empty when nothing is.
std::string apply(ChannelRule& rule, std::string_view key, std::string_view value) {
  if (key == "history") {
    const auto [end, error] =
        std::from_chars(value.data(), value.data() + value.size(), rule.history_messages);
    if (error == std::errc() && end == value.data() + value.size() &&
        rule.history_messages <= kMaxHistoryMessages)
      return {};
    return "history is a number of messages up to " + std::to_string(kMaxHistoryMessages);
  }
  if (key == "history-ttl") {
    const auto time = config::parse_duration(value);
    if (time && *time >= std::chrono::seconds(1) && *time <= kMaxHistoryTtl) {
      rule.history_ttl = *time;
      return {};
    }
    return "history-ttl is a duration between 1s and 168h";
  }
  if (key == "history-bytes") {
    const auto bytes = config::parse_bytes(value);
    if (bytes && *bytes > 0 && *bytes <= kMaxHistoryBytes) {
      rule.history_bytes = *bytes;
      return {};
    }
    return "history-bytes is a size up to 64MiB";
  }
  if (key == "slow") {
    if (value == "disconnect") return rule.slow = SlowPolicy::kDisconnect, std::string();
    if (value == "drop") return rule.slow = SlowPolicy::kDrop, std::string();
    if (value == "conflate") return rule.slow = SlowPolicy::kConflate, std::string();
    return "slow is disconnect, drop or conflate";
  }
  if (key == "conflate-key") {
    rule.conflate_key = value;
    return value.empty() ? "conflate-key is a member's name" : std::string();
  }
  return "there are history, history-ttl, history-bytes, slow and conflate-key";
}

}  // namespace

Result<ChannelRules> ChannelRules::parse(const std::vector<std::string>& rules) {
  ChannelRules out;
  for (const std::string& text : rules) {
    auto refuse = [&text](const std::string& why) {
      return Error(errors::kInvalidValue, "channel rule '" + text + "': " + why);
    };
    std::string_view rest = text;
    std::string_view pattern = next_word(rest);
    if (pattern.empty()) return refuse("it names no channels");
    Entry entry{.name = {}, .is_pattern = pattern.ends_with('*'), .rule = {}};
    if (entry.is_pattern) pattern.remove_suffix(1);
    entry.name = pattern;
    for (std::string_view word = next_word(rest); !word.empty(); word = next_word(rest)) {
      const size_t equals = word.find('=');
      if (equals == std::string_view::npos)
        return refuse("'" + std::string(word) + "' has no value");
      const std::string why = apply(entry.rule, word.substr(0, equals), word.substr(equals + 1));
      if (!why.empty()) return refuse("'" + std::string(word) + "': " + why);
    }
    if ((entry.rule.slow == SlowPolicy::kConflate) == entry.rule.conflate_key.empty())
      return refuse("slow=conflate and conflate-key go together");
    out.entries_.push_back(std::move(entry));
  }
  return out;
}

const ChannelRule& ChannelRules::find(std::string_view channel) const {
  for (const Entry& entry : entries_)
    if (entry.is_pattern ? channel.starts_with(entry.name) : channel == entry.name)
      return entry.rule;
  return none_;
}

}  // namespace raymesh::realtime
