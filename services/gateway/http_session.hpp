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
#include "services/gateway/http_exchange.hpp"

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
  /// For HttpExchange.
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
  bool read_head(HttpExchange& ex);
  bool pass_gate(HttpExchange& ex);
  bool read_body(HttpExchange& ex);
  bool read_chunks(HttpExchange& ex);
  bool need_body(HttpExchange& ex);
  bool run_handler(HttpExchange& ex);
  bool send_answer(HttpExchange& ex);
  void finish(HttpExchange& ex);

  void begin(HttpExchange& ex);
  void split_target(HttpExchange& ex);
  bool open_raystream(HttpExchange& ex);
  bool find_key(HttpExchange& ex);
  bool within_rate(HttpExchange& ex);
  bool reserve_body(HttpExchange& ex, uint64_t bytes);
  void refuse(HttpExchange& ex, const Error& error);
  void close_unless_body_is_here(HttpExchange& ex);

  // The bytes that have been read and not used: in_ of the exchange, or else fresh_.
  std::string_view input(HttpExchange& ex);
  void keep_input(HttpExchange& ex);
  void drop_input(HttpExchange& ex, size_t bytes);
  void need_head(HttpExchange& ex);

  bool wants_input() const;
  void take_result(Result<std::string> result);
  void release_exchange();
  void close();

  Worker& worker_;
  net::ByteStream stream_;
  net::ConnectionSlot slot_;
  std::string address_;
  std::unique_ptr<HttpExchange> exchange_;  // nullptr while idle
  std::string_view fresh_;                  // in the worker's scratch, during read()
  State state_ = State::kOpen;
  Waiting waiting_for_ = Waiting::kNothing;
  bool read_armed_ = false;
  bool readable_ = false;  // there may be something to read although no wait is armed
  bool write_armed_ = false;
  bool counted_ = false;
};

}  // namespace raymesh::gateway
