// The caller's end of one `Calls` stream: moves bytes between gRPC and its PeerCore, which decides
// everything and guards the fields below with its mutex. Lives until gRPC's OnDone.
#pragma once

#include <memory>
#include <string>

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include "libs/rpc/call.hpp"
#include "libs/rpc/outbox.hpp"

namespace raymesh::rpc {

class PeerCore;

class ClientStream final : public grpc::ClientBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>,
                           public std::enable_shared_from_this<ClientStream> {
 public:
  ClientStream(std::shared_ptr<PeerCore> owner, std::shared_ptr<grpc::Channel> channel,
               const std::string& cluster_key);

  /// Once. Reactions may come before it returns.
  void start(const std::string& service);
  /// The next batch. Only from within stream_batch.
  void read() { StartRead(&incoming_); }
  /// Ends the stream from our side; OnDone follows. Any thread.
  void abort() { context_.TryCancel(); }

  void OnReadInitialMetadataDone(bool ok) override;
  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnWritesDoneDone(bool) override {}
  void OnDone(const grpc::Status& status) override;

  // Guarded by the owner's mutex.
  Outbox outbox;
  uint64_t sequence = 0;  // of ids, rising
  size_t in_flight = 0;   // calls queued or sent here
  bool up = false;        // the service has taken the stream
  Clock::time_point up_since;
  bool draining = false;     // no new calls
  bool broken = false;       // nothing more can be sent
  bool writing = false;      // Invariant: true exactly while a StartWrite is in flight
  bool half_closed = false;  // StartWritesDone was called
  bool held = true;          // gRPC keeps the stream open for our writes
  grpc::ByteBuffer outgoing;

 private:
  const std::shared_ptr<PeerCore> owner_;
  const std::shared_ptr<grpc::Channel> channel_;
  grpc::TemplatedGenericStub<grpc::ByteBuffer, grpc::ByteBuffer> stub_;
  grpc::ClientContext context_;
  grpc::ByteBuffer incoming_;
  std::shared_ptr<ClientStream> keep_;
};

}  // namespace raymesh::rpc
