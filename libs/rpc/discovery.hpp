// Which addresses a peer's endpoints stand for: static ones as they are, "dns:name:port" resolved
// at start and every 5 s while the peer is in use or has no stream up. A name that does not resolve
// keeps its last addresses. Held by timers and resolver through weak_ptr; thread-safe.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "libs/base/result.hpp"

namespace raymesh::rpc {

class PeerGroup;

class Discovery final : public std::enable_shared_from_this<Discovery> {
 public:
  static constexpr int kEverySeconds = 5;

  Discovery(const std::vector<std::string>& endpoints, std::weak_ptr<PeerGroup> group);
  /// Gives the group its first addresses.
  void start();

  /// Errors: `invalid_value` for anything but "host:port", "unix:/path" or "dns:name:port".
  static Status check(std::string_view endpoint);

 private:
  struct Name {
    std::string host;
    std::string port;
    std::vector<std::string> addresses;
  };
  void publish();
  void look_up(size_t index);
  void look_up_later();
  void tick();

  const std::weak_ptr<PeerGroup> group_;
  std::mutex mutex_;
  std::vector<std::string> fixed_;
  std::vector<Name> names_;
  size_t outstanding_ = 0;
};

}  // namespace raymesh::rpc
