// A `Calls` stream by hand, with protobuf messages: to send what our own client never would.
#pragma once

#include <memory>
#include <string>

#include <grpcpp/grpcpp.h>

#include "echo.grpc.pb.h"
#include "libs/rpc/credentials.hpp"
#include "tests/unit/rpc/echo_service.hpp"

namespace raymesh::rpc::test {

class RawStream {
 public:
  explicit RawStream(const std::string& address, const std::string& key = kClusterKey)
      : stub_(raymesh::test::v1::Echo::NewStub(
            grpc::CreateChannel(address, grpc::InsecureChannelCredentials()))) {
    if (!key.empty()) context_.AddMetadata(kClusterKeyMetadata, key);
    context_.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
    stream_ = stub_->Calls(&context_);
  }
  ~RawStream() {
    context_.TryCancel();
    if (!finished_) stream_->Finish();
  }

  bool send(const common::v1::ClientBatch& batch) { return stream_->Write(batch); }
  bool send(const common::v1::ClientFrame& frame) {
    common::v1::ClientBatch batch;
    *batch.add_frames() = frame;
    return send(batch);
  }
  /// The next frame; false at the end of the stream.
  bool receive(common::v1::ServerFrame& frame) {
    while (next_ == batch_.frames_size()) {
      next_ = 0;
      if (!stream_->Read(&batch_)) return false;
    }
    frame = batch_.frames(next_++);
    return true;
  }
  common::v1::ServerFrame receive() {
    common::v1::ServerFrame frame;
    if (!receive(frame)) throw std::runtime_error("the stream has ended");
    return frame;
  }
  void half_close() { stream_->WritesDone(); }
  grpc::Status finish() {
    finished_ = true;
    return stream_->Finish();
  }
  grpc::ClientContext& context() { return context_; }

 private:
  std::unique_ptr<raymesh::test::v1::Echo::Stub> stub_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReaderWriter<common::v1::ClientBatch, common::v1::ServerBatch>>
      stream_;
  common::v1::ServerBatch batch_;
  int next_ = 0;
  bool finished_ = false;
};

/// A Call frame for `Echo` or another method that takes an EchoRequest.
inline common::v1::ClientFrame call_frame(uint64_t id, const std::string& method,
                                          const std::string& data = "x") {
  raymesh::test::v1::EchoRequest request;
  request.set_data(data);
  common::v1::ClientFrame frame;
  frame.set_id(id);
  frame.mutable_call()->set_method(method);
  frame.mutable_call()->set_timeout_ms(20'000);
  frame.mutable_call()->set_payload(request.SerializeAsString());
  frame.mutable_call()->set_credit(1u << 20);
  return frame;
}

}  // namespace raymesh::rpc::test
