// The gateway's end of one realtime node's `Relay` stream. On the relay's thread.
#pragma once

#include <deque>
#include <string>
#include <string_view>

#include "libs/rpc/client_stream.hpp"

namespace raymesh::gateway {

class RelayLink final : public rpc::ClientStream {
 public:
  class Owner {
   public:
    virtual void link_up(RelayLink& link) = 0;
    /// A serialized RelayDown.
    virtual void link_message(RelayLink& link, std::string_view message) = 0;
    /// The last event.
    virtual void link_done(RelayLink& link, const std::string& reason) = 0;

   protected:
    ~Owner() = default;
  };

  RelayLink(Owner& owner, rpc::StreamTarget target, rpc::Place place);
  ~RelayLink() override;

  /// Sends a serialized RelayUp, several of them as one. Once it is up.
  void send_command(std::string_view up);
  /// The owner hears nothing more.
  void forget_owner() { owner_ = nullptr; }

  void on_message(std::string_view message) override;
  void on_turn() override;

 private:
  void up_now() override;
  void done(const rpc::grpc_wire::Status& status) override;

  Owner* owner_;  // nullptr: it has let go
  std::deque<std::string> out_;
  bool turn_due_ = false;
};

}  // namespace raymesh::gateway
