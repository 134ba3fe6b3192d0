// The caller's end of one `Calls` stream: gives its batches to its PeerCore, which decides
// everything. Held by the core until stream_done.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "libs/rpc/client_stream.hpp"
#include "libs/rpc/outbox.hpp"

namespace raymesh::rpc {

class PeerCore;

class CallsClient final : public ClientStream {
 public:
  CallsClient(std::shared_ptr<PeerCore> owner, std::shared_ptr<const Dialer> dialer,
              std::string address, size_t attempt, Place place);
  ~CallsClient() override;

  void on_message(std::string_view batch) override;
  void on_turn() override;

  // Guarded by the owner's mutex.
  Outbox outbox;
  uint64_t sequence = 0;  // of ids, rising
  size_t in_flight = 0;   // calls queued or sent here
  bool up = false;        // the service has taken the stream
  Clock::time_point up_since;
  bool draining = false;     // no new calls
  bool broken = false;       // nothing more can be sent
  bool turn_due = false;     // stream_turn will come
  bool half_closed = false;  // nothing more will be sent

 private:
  void post(net::IoThreads::Task task) override;
  void up_now() override;
  void done(const grpc_wire::Status& status) override;

  const std::shared_ptr<PeerCore> owner_;
};

}  // namespace raymesh::rpc
