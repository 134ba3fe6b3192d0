#include "libs/rpc/calls_client.hpp"

#include "libs/rpc/frames.hpp"
#include "libs/rpc/peer_core.hpp"

namespace raymesh::rpc {

CallsClient::CallsClient(std::shared_ptr<PeerCore> owner, std::shared_ptr<const Dialer> dialer,
                         std::string address, size_t attempt, Place place)
    : ClientStream({.dialer = std::move(dialer),
                    .method = "Calls",
                    .address = std::move(address),
                    .attempt = attempt,
                    .max_message_bytes = frames::kMaxMessageBytes},
                   place),
      owner_(std::move(owner)) {}

CallsClient::~CallsClient() = default;

void CallsClient::on_message(std::string_view batch) {
  owner_->stream_batch(*this, batch);
}

void CallsClient::on_turn() {
  owner_->stream_turn(*this);
}

// The core knows whether the thread is still there.
void CallsClient::post(net::IoThreads::Task task) {
  owner_->post(std::move(task));
}

void CallsClient::up_now() {
  owner_->stream_up(*this);
}

void CallsClient::done(const grpc_wire::Status& status) {
  owner_->stream_done(*this, status);
}

}  // namespace raymesh::rpc
