// Finds out what an API key stands for: from the thread's cache, or from auth. Requests with the
// same unknown key wait for one question, questions under way are bounded, and a key in use is
// asked for again before its entry ends, so that the hot path does not wait. One per I/O thread,
// used on it alone.
#pragma once

#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "libs/base/result.hpp"
#include "libs/base/unique_function.hpp"
#include "services/gateway/api_key_cache.hpp"

namespace raymesh::gateway {

struct Core;

class KeyResolver {
 public:
  using Clock = std::chrono::steady_clock;
  /// Ok with nullptr: there is no such key.
  using Answer = Result<KeyInfoPtr>;
  using OnAnswer = UniqueFunction<void(const Answer&)>;

  KeyResolver(Core& core, size_t thread);

  enum class State { kKnown, kUnknown, kAsked };
  /// kAsked: `wait` at once with the same key.
  State find(std::string_view key, KeyInfoPtr& info, Clock::time_point now);
  /// The same by the key's SHA-256.
  State find_hash(std::string_view hash, KeyInfoPtr& info, Clock::time_point now);
  /// After kAsked. Runs `on_answer` on this thread, later, once; overloaded when too many keys or
  /// requests wait.
  void wait(OnAnswer on_answer);

 private:
  static constexpr size_t kMaxQuestions = 256;
  static constexpr size_t kMaxWaiting = 16'384;

  void ask(const std::string& hash);
  void answered(const std::string& hash, Answer answer);

  Core& core_;
  const size_t thread_;
  ApiKeyCache cache_;
  std::string missed_;  // the hash that find() has just not found
  std::unordered_map<std::string, std::vector<OnAnswer>> questions_;
  size_t waiting_ = 0;
};

}  // namespace raymesh::gateway
