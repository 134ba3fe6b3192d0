// A Peer: one PeerCore for each I/O thread that makes calls, so that a call is sent and answered on
// the thread that made it, and no thread wakes another. Calls from other threads go to the first
// core. Thread-safe.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "libs/rpc/peer.hpp"
#include "libs/rpc/peer_core.hpp"

namespace raymesh::rpc {

class PeerGroup final : public Peer {
 public:
  PeerGroup(PeerConfig config, Dialer dialer);
  ~PeerGroup() override;

  uint64_t call(std::string_view method, const common::v1::CallContext& context,
                std::string payload, const CallOptions& options, Done done) override;
  void cancel(uint64_t ticket) override;
  bool ready() const override;
  std::vector<std::string> addresses() override;
  std::shared_ptr<const Dialer> dialer() const override { return dialer_; }
  void close() override;

  void set_addresses(const std::vector<std::string>& addresses);
  bool take_used();

 private:
  std::unique_ptr<net::IoThreads> own_threads_;
  net::IoThreads* threads_;
  std::shared_ptr<const Dialer> dialer_;
  std::vector<std::shared_ptr<PeerCore>> cores_;
  std::mutex mutex_;
  std::vector<std::string> addresses_;  // guarded by mutex_
  bool used_ = false;                   // guarded by mutex_
};

}  // namespace raymesh::rpc
