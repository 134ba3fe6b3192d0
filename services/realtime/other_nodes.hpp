// Looks whether this realtime node is alone, for what must be: two nodes with the memory broker
// would be two clusters whose clients never hear of each other, and nobody would be told. Asks
// every address of --peers who it is, when the node starts and every 5 s. Owned by the app; start()
// and the destructor from its thread, state() from any.
#pragma once

#include <chrono>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "libs/base/result.hpp"
#include "libs/rpc/credentials.hpp"

namespace raymesh::rpc {
class Peer;
}

namespace raymesh::realtime {

struct OtherNodesConfig {
  std::vector<std::string> peers;  // "host:port", "unix:/path" or "dns:name:port", this node's too
  std::string id;                  // what this node answers itself
  std::string broker;
  rpc::ClientCredentials credentials;
  std::chrono::milliseconds interval{5'000};
};

class OtherNodes {
 public:
  explicit OtherNodes(OtherNodesConfig config) : config_(std::move(config)) {}
  ~OtherNodes() { stop(); }
  OtherNodes(const OtherNodes&) = delete;
  OtherNodes& operator=(const OtherNodes&) = delete;

  /// Asks once, for at most 3 s, and then goes on asking. Errors: invalid_value when there is
  /// another node and one of the two has the memory broker, or when a peer is malformed. A peer
  /// that does not answer is none.
  Status start();
  /// Asks no more.
  void stop();
  /// What was seen last.
  Status state() const;

 private:
  std::vector<std::string> addresses() const;
  Status ask_all();
  void run();

  const OtherNodesConfig config_;
  // By address, kept from one time to the next. start()'s thread first, then run()'s.
  std::map<std::string, std::shared_ptr<rpc::Peer>> connections_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  Status state_ = ok_status();  // guarded by mutex_
  bool stopping_ = false;       // guarded by mutex_
  std::thread thread_;
};

}  // namespace raymesh::realtime
