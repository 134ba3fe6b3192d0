#include "services/realtime/relay_stream.hpp"

#include <memory>
#include <optional>

#include "libs/rpc/grpc_wire.hpp"
#include "libs/rpc/http2_connection.hpp"
#include "services/realtime/realtime_node.hpp"
#include "services/realtime/relay.hpp"

namespace raymesh::realtime {
namespace {

// Of one RelayUp.
constexpr size_t kMaxUpBytes = 256u << 10;
// What may wait in the connection. The rest waits in the relay, which knows what to leave out.
constexpr size_t kMaxUnsentBytes = 256u << 10;

class RelayStream final : public rpc::StreamHandler,
                          public Relay::Outlet,
                          public std::enable_shared_from_this<RelayStream> {
 public:
  RelayStream(Shard& shard, rpc::Http2Connection& connection, int32_t id)
      : connection_(&connection), id_(id), relay_(std::in_place, shard, *this) {}

  void start() { connection_->send_headers(id_, rpc::grpc_wire::answer_headers()); }

  // Relay::Outlet
  void wake() override {
    if (!connection_ || std::exchange(turn_due_, true)) return;
    connection_->wake(shared_from_this());
  }
  void pause() override { connection_->pause(id_); }
  void resume() override {
    resume_due_ = true;
    wake();
  }

  // rpc::StreamHandler
  void on_message(std::string_view message) override {
    if (!relay_) return;
    if (const Status taken = relay_->take(message); !taken.ok()) fail(taken.error());
  }
  void on_bad_message(std::string_view why, bool too_large) override {
    fail(Error(too_large ? errors::kMessageTooLarge : errors::kInvalidRequest, std::string(why)));
  }
  void on_end() override {
    relay_.reset();
    connection_->send_end(id_, rpc::grpc_wire::ok_trailers());
  }
  void on_closed(std::string_view) override {
    connection_ = nullptr;
    relay_.reset();
  }
  void on_turn() override {
    turn_due_ = false;
    if (!connection_ || !relay_) return;
    while (connection_->unsent(id_) < kMaxUnsentBytes) {
      const std::string message = relay_->take_output();
      if (message.empty()) break;
      connection_->send_message(id_, message);
    }
    relay_->set_unsent(connection_->unsent(id_));
    // Last: what has waited may end the stream.
    if (std::exchange(resume_due_, false)) connection_->resume(id_);
  }
  bool holds_up_the_end() const override { return false; }

 private:
  void fail(const Error& error) {
    relay_.reset();
    connection_->send_failure(id_, error);
  }

  rpc::Http2Connection* connection_;  // nullptr after on_closed
  const int32_t id_;
  bool turn_due_ = false;
  bool resume_due_ = false;
  std::optional<Relay> relay_;  // until the stream has ended
};

}  // namespace

rpc::StreamMethod relay_method(RealtimeNode& node) {
  return {"Relay", rpc::kCallerGateway, kMaxUpBytes,
          [&node](rpc::Http2Connection& connection,
                  int32_t stream) -> Result<std::shared_ptr<rpc::StreamHandler>> {
            Shard* shard = node.shard_of(connection.loop());
            if (!shard) return Error(errors::kInternal, "the connection is on no shard");
            auto relay = std::make_shared<RelayStream>(*shard, connection, stream);
            relay->start();
            return std::shared_ptr<rpc::StreamHandler>(std::move(relay));
          }};
}

}  // namespace raymesh::realtime
