// Which sessions of this process are stored, under which generation, and what they and the store
// tell each other, for all of them together once in raystream-fence-period: that somebody else has
// taken one over (within the process it is told at once), and that a client has shown that it has
// the secret of its last resumption. Part of Core; any thread.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "libs/net/timer_wheel.hpp"
#include "raymesh/cache/v1/cache.pb.h"

namespace raymesh::gateway {

struct Core;
struct Worker;
class RaystreamSession;

class RaystreamOwners final : private net::WheelTimer {
 public:
  explicit RaystreamOwners(Core& core) : core_(core) {}

  /// From now on it is told when it loses the session. Before the write that makes it the owner.
  void add(std::string_view id, uint64_t generation, size_t thread,
           const std::shared_ptr<RaystreamSession>& session);
  /// It has got another generation than it was added with.
  void change(std::string_view id, const RaystreamSession* session, uint64_t generation);
  void remove(std::string_view id, const RaystreamSession* session);
  /// The client of this generation has the new secret: the one before is dropped, within a period
  /// when the store is there.
  void confirm(std::string_view id, uint64_t generation);
  /// `generation` has the session: those of lower ones end.
  void lost(std::string_view id, uint64_t generation);

 private:
  struct Owner {
    const RaystreamSession* key;
    std::weak_ptr<RaystreamSession> session;
    size_t thread;
    uint64_t generation;
  };

  struct Confirmed {
    std::string id;
    uint64_t generation;
  };

  void poll();
  void on_timeout() override;
  void send_confirmed(Worker& worker, std::vector<Confirmed> confirmed);
  void take(const cache::v1::LostSessionsReply& reply);

  Core& core_;
  std::mutex mutex_;
  std::unordered_multimap<std::string, Owner> owners_;
  std::vector<Confirmed> confirmed_;  // since the last poll
  bool polling_ = false;
  std::vector<std::string> after_;  // of the polling thread
};

}  // namespace raymesh::gateway
