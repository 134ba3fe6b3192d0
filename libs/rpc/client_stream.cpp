#include "libs/rpc/client_stream.hpp"

#include "libs/rpc/credentials.hpp"
#include "libs/rpc/frames.hpp"
#include "libs/rpc/peer_core.hpp"
#include "libs/rpc/slices.hpp"

namespace raymesh::rpc {

ClientStream::ClientStream(std::shared_ptr<PeerCore> owner, std::shared_ptr<grpc::Channel> channel,
                           const std::string& cluster_key)
    : owner_(std::move(owner)), channel_(std::move(channel)), stub_(channel_) {
  if (!cluster_key.empty()) context_.AddMetadata(kClusterKeyMetadata, cluster_key);
}

void ClientStream::start(const std::string& service) {
  keep_ = shared_from_this();
  stub_.PrepareBidiStreamingCall(&context_, "/" + service + "/Calls", {}, this);
  AddHold();
  StartRead(&incoming_);
  StartCall();
}

void ClientStream::OnReadInitialMetadataDone(bool ok) {
  if (ok) owner_->stream_up(*this);
}

void ClientStream::OnReadDone(bool ok) {
  if (!ok) {
    owner_->stream_broken(*this);
    return;
  }
  auto batch = slices::flatten(incoming_, frames::kMaxMessageBytes);
  if (!batch) {
    abort();
    return;
  }
  incoming_.Clear();
  owner_->stream_batch(*this, slices::view(*batch));
}

void ClientStream::OnWriteDone(bool ok) {
  owner_->stream_write_done(*this, ok);
}

void ClientStream::OnDone(const grpc::Status& status) {
  auto keep = std::move(keep_);
  owner_->stream_done(*this, status);
}

}  // namespace raymesh::rpc
