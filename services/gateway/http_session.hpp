// One client connection: reads requests, lets them pass (key, origin, rate, route), hands them to
// their handlers one at a time and in order, and sends the answers. An idle connection holds this
// object and no buffers. Made by the App when a connection is accepted; lives on that connection's
// I/O thread, kept alive by whatever it waits for.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "libs/net/byte_stream.hpp"
#include "libs/net/listener.hpp"
#include "libs/net/timer_wheel.hpp"
#include "libs/rpc/peer.hpp"
#include "services/gateway/exchange.hpp"

namespace raymesh::gateway {

struct Core;
struct Worker;

class HttpSession final : public std::enable_shared_from_this<HttpSession>,
                          private net::WheelTimer {
 public:
  HttpSession(Worker& worker, net::Accepted accepted);
  ~HttpSession() override;

  void start();
  /// Draining: closes now if no request is under way; otherwise its answer is the last one.
  void close_when_idle();
  /// Closes now, cancelling what is under way.
  void abort();

  Core& core() const;
  Worker& worker() const { return worker_; }
  /// For Exchange::call.
  void call(rpc::Peer& peer, std::string_view method, std::string payload,
            const rpc::CallOptions& options);

 private:
  enum class State : uint8_t { kHandshake, kOpen, kLinger, kClosed };
  enum class Waiting : uint8_t { kNothing, kIdle, kHead, kBody, kWrite, kLinger };

  // Socket events.
  void arm_read();
  void on_readable();
  void on_writable();
  void handshake();
  void read();
  void linger();
  void on_timeout() override;
  void arm(Waiting what);

  // The request, stage by stage.
  void advance();
  void resume();
  bool read_head(Exchange& ex);
  bool pass_gate(Exchange& ex);
  bool read_body(Exchange& ex);
  bool read_chunks(Exchange& ex);
  bool need_body(Exchange& ex);
  bool run_handler(Exchange& ex);
  bool send_answer(Exchange& ex);
  void finish(Exchange& ex);

  void begin(Exchange& ex);
  void split_target(Exchange& ex);
  bool find_key(Exchange& ex);
  bool within_rate(Exchange& ex);
  bool reserve_body(Exchange& ex, uint64_t bytes);
  void refuse(Exchange& ex, const Error& error);
  void close_unless_body_is_here(Exchange& ex);

  // The bytes that have been read and not used: in_ of the exchange, or else fresh_.
  std::string_view input(Exchange& ex);
  void keep_input(Exchange& ex);
  void drop_input(Exchange& ex, size_t bytes);
  void need_head(Exchange& ex);

  bool wants_input() const;
  void take_result(Result<std::string> result);
  void release_exchange();
  void close();

  Worker& worker_;
  net::ByteStream stream_;
  net::ConnectionSlot slot_;
  std::string address_;
  std::unique_ptr<Exchange> exchange_;  // nullptr while idle
  std::string_view fresh_;              // in the worker's scratch, during read()
  State state_ = State::kOpen;
  Waiting waiting_for_ = Waiting::kNothing;
  bool read_armed_ = false;
  bool readable_ = false;  // there may be something to read although no wait is armed
  bool write_armed_ = false;
  bool counted_ = false;
};

}  // namespace raymesh::gateway
