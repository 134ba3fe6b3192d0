// One raystream session and its connection, a WebSocket's or a TCP socket's: reads frames, keeps
// the session's times, lets calls in, and sends their answers. libs/raystream has the protocol's
// rules. Its actor calls it, on the connection's I/O thread; an idle one holds no buffers.
#pragma once

#include <caf/actor.hpp>
#include <chrono>
#include <deque>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>

#include "libs/net/byte_stream.hpp"
#include "libs/net/listener.hpp"
#include "libs/net/timer_wheel.hpp"
#include "libs/net/websocket/message_assembler.hpp"
#include "libs/raystream/frame_stream.hpp"
#include "libs/raystream/server_handshake.hpp"
#include "libs/raystream/session.hpp"
#include "services/gateway/raystream_call.hpp"

namespace raymesh::gateway {

struct Core;
struct Worker;

/// The connection that a session begins with.
struct RaystreamOrigin {
  net::ByteStream stream;
  net::ConnectionSlot slot;
  std::string client;  // its address, as limits and logs have it
  bool local = false;  // the development key may be used
  bool websocket = false;
  std::string greeting;  // to be sent first: the answer to the upgrade
  std::string input;     // what has been read already behind the upgrade
};

/// What a session stands for once it is attached.
struct RaystreamPrincipal {
  std::string key_hash;  // SHA-256 of the API key
  std::string project;
  std::string access_token;       // empty: no user
  uint64_t token_expires_at = 0;  // Unix milliseconds; 0: no user
};

class RaystreamSession final : public std::enable_shared_from_this<RaystreamSession>,
                               private net::WheelTimer {
 public:
  using Clock = std::chrono::steady_clock;

  /// RaystreamLimits has let it in. On the connection's I/O thread.
  static void open(Worker& worker, RaystreamOrigin origin);
  RaystreamSession(Worker& worker, RaystreamOrigin origin);

  // For its actor.
  void begin();
  void readable();
  void writable();
  void due();
  void answered(RaystreamCall& call);
  void resumed(RaystreamCall& call);
  void drain();
  void abort();
  void after_message();
  /// Its actor has died: a defect.
  void failed();
  bool ended() const { return state_ == State::kEnded; }
  const caf::actor& actor() const { return actor_; }

  // For its calls.
  Worker& worker() const { return worker_; }
  bool is_attached() const { return attached_; }
  bool is_local() const { return local_; }
  const std::string& client() const { return client_; }
  const std::string& key_hash() const { return principal_.key_hash; }
  std::string_view access_token() const { return principal_.access_token; }
  void answer(RaystreamCall& call);
  void answer_error(RaystreamCall& call, const Error& error);
  void key_revoked();
  /// False: it is attached, or another call is about to.
  bool begin_attach();
  void attach_failed();
  /// Takes over who it is; returns when it ends if nothing extends it, in Unix milliseconds.
  uint64_t prepare_attach(RaystreamPrincipal principal);
  /// The answer to auth.attach has been sealed.
  void attached();

 private:
  enum class State : uint8_t { kTls, kOpen, kClosing, kEnded };

  Core& core() const;
  static uint64_t unix_ms();

  // The connection.
  void arm_read();
  void arm_write();
  void tls_handshake();
  void read();
  void discard();
  bool is_backed_up() const;
  void flush();
  void on_timeout() override;
  void arm_timer();

  // Frames.
  void take_stream(std::span<char> bytes);
  raystream::Expected expected() const;
  void take_frame(std::span<char> frame);
  void shake_hands(std::span<char> frame);
  bool send_frame(raystream::FrameType type, std::initializer_list<std::string_view> pieces);
  void append_message(std::string_view frame);

  // Frames in WebSocket messages (raystream_session_websocket.cpp).
  void take_websocket(std::span<char> bytes);
  bool take_websocket_frame(net::websocket::Frame& frame);
  bool hold(size_t bytes);

  // What comes in frames (raystream_session_calls.cpp).
  void take_message(raystream::FrameType type, std::string_view payload);
  void take_call(std::string_view payload);
  void take_heartbeat(std::string_view payload);
  void take_subscribe(std::string_view payload);
  void finish(RaystreamCall& call);
  void pump();
  void check_lives(Clock::time_point now);
  void check_key(Clock::time_point now);
  void check_token(Clock::time_point now);
  void expire_pieces(Clock::time_point now);

  // The end.
  void refuse(const raystream::Refusal& refusal);
  void close(raystream::ErrorCode code, std::string_view reason, uint16_t websocket_code = 0);
  void begin_closing();
  void drop();
  void end();

  Worker& worker_;
  net::ByteStream stream_;
  net::ConnectionSlot slot_;
  const std::string client_;
  const std::string bucket_;  // of its address, for limits
  const bool local_;
  const bool websocket_;
  State state_ = State::kOpen;
  bool read_armed_ = false;
  bool write_armed_ = false;
  bool readable_ = false;  // there may be something to read although no wait is armed
  bool end_sent_ = false;  // shutdown_send
  bool attached_ = false;
  bool attaching_ = false;
  bool draining_ = false;
  bool handshake_counted_ = false;
  bool checking_key_ = false;
  bool checking_token_ = false;
  uint8_t failed_attaches_ = 0;
  uint8_t missed_beats_ = 0;

  caf::actor actor_;
  // Of the handshake; nullptr afterwards.
  std::unique_ptr<raystream::ServerHandshake> handshake_;
  raystream::Session session_;
  raystream::FrameStream frames_;  // of TCP
  // Of a WebSocket: the beginning of a frame, and of a message.
  std::string in_;
  net::websocket::MessageAssembler assembler_;
  raystream::FrameBudget* budget_;  // that held_ bytes are taken from
  size_t held_ = 0;
  raystream::OutgoingBuffer out_;

  RaystreamPrincipal principal_;
  const Clock::time_point opened_;
  Clock::time_point shaken_{};         // when the handshake was done
  Clock::time_point last_frame_{};     // of the client
  Clock::time_point last_progress_{};  // of writing
  Clock::time_point token_checked_{};

  std::unordered_map<uint64_t, std::shared_ptr<RaystreamCall>> calls_;
  // Calls with large answers, each of which sends a piece in turn.
  std::deque<std::shared_ptr<RaystreamCall>> sending_;
  size_t queued_ = 0;  // bytes of theirs that are not in out_ yet
};

}  // namespace raymesh::gateway
