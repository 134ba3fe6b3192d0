#include "services/gateway/relay_link.hpp"

#include <utility>

namespace raymesh::gateway {
namespace {

// Of one RelayUp: far below what a node takes.
constexpr size_t kSegmentBytes = 32u << 10;
// What may wait in the connection.
constexpr size_t kMaxUnsentBytes = 128u << 10;

}  // namespace

RelayLink::RelayLink(Owner& owner, rpc::StreamTarget target, rpc::Place place)
    : ClientStream(std::move(target), place), owner_(&owner) {}

RelayLink::~RelayLink() = default;

// A message's repeated fields may come in pieces: one behind the other, two RelayUps are one.
void RelayLink::send_command(std::string_view up) {
  if (out_.empty() || out_.back().size() + up.size() > kSegmentBytes) out_.emplace_back();
  out_.back() += up;
  if (!std::exchange(turn_due_, true)) wake();
}

void RelayLink::on_turn() {
  turn_due_ = false;
  while (!out_.empty() && unsent() < kMaxUnsentBytes) {
    send(out_.front());
    out_.pop_front();
  }
}

void RelayLink::on_message(std::string_view message) {
  if (owner_) owner_->link_message(*this, message);
}

void RelayLink::up_now() {
  if (owner_) owner_->link_up(*this);
}

void RelayLink::done(const rpc::grpc_wire::Status& status) {
  if (owner_) std::exchange(owner_, nullptr)->link_done(*this, status.message);
}

}  // namespace raymesh::gateway
