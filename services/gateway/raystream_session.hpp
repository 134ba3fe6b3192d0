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

#include "libs/net/byte_stream.hpp"
#include "libs/net/listener.hpp"
#include "libs/net/timer_wheel.hpp"
#include "libs/net/websocket/message_assembler.hpp"
#include "libs/raystream/frame_stream.hpp"
#include "libs/raystream/server_handshake.hpp"
#include "libs/raystream/session.hpp"
#include "services/gateway/api_key_cache.hpp"
#include "services/gateway/raystream_call.hpp"
#include "services/gateway/raystream_record.hpp"
#include "services/gateway/raystream_state.hpp"

namespace raymesh::auth::v1 {
class VerifyTokenReply;
}

namespace raymesh::gateway {

class RaystreamSubscriptions;
struct Core;
struct Worker;
struct RaystreamResuming;

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

class RaystreamSession final : public std::enable_shared_from_this<RaystreamSession>,
                               private net::WheelTimer {
 public:
  using Clock = std::chrono::steady_clock;

  /// RaystreamLimits has let it in. On the connection's I/O thread.
  static void open(Worker& worker, RaystreamOrigin origin);
  RaystreamSession(Worker& worker, RaystreamOrigin origin);
  ~RaystreamSession() override;

  // For its actor.
  void lost_to(uint64_t generation);
  void drain();
  void abort();
  void after_turn();
  /// Its actor has died: a defect.
  void failed();
  bool ended() const { return state_ == State::kEnded; }
  bool is_over() const { return state_ == State::kClosing || state_ == State::kEnded; }
  const caf::actor& actor() const { return actor_; }

  // For its calls.
  Worker& worker() const { return worker_; }
  bool is_attached() const { return attached_; }
  bool is_local() const { return local_; }
  const std::string& client() const { return client_; }
  /// When the client's last frame was read: for what a frame begins, as good as the time now.
  Clock::time_point last_frame() const { return last_frame_; }
  const std::string& key_hash() const { return principal_.key_hash; }
  std::string_view access_token() const { return principal_.access_token; }
  void answer(RaystreamCall& call);
  void answer_error(RaystreamCall& call, const Error& error);
  void key_revoked();
  void token_revoked();
  /// A turn that goes on with a call that has waited.
  void answered(const std::shared_ptr<RaystreamCall>& call);
  void resumed(const std::shared_ptr<RaystreamCall>& call);
  /// False: it is attached, or another call is about to.
  bool begin_attach();
  void attach_failed();
  /// Takes over who it is; returns when it ends if nothing extends it, in Unix milliseconds.
  uint64_t prepare_attach(RaystreamPrincipal principal);
  /// Stores it, if this gateway stores sessions; `done` runs afterwards, whether that has worked or
  /// not, unless the session has ended.
  void store_attached(UniqueFunction<void()> done);
  /// The answer to auth.attach has been sealed.
  void attached();

  // For its record.
  std::string_view id() const { return session_.id(); }
  std::string_view resumption_secret() const { return session_.resumption_secret(); }
  StoredSession to_store() const;
  /// Another connection has the session.
  void lost();
  /// Runs in a turn of the actor's own, unless the session ends before.
  void later(UniqueFunction<void()> step);
  static uint64_t unix_ms();

  // For its subscriptions.
  /// Made when it is asked for first.
  RaystreamSubscriptions& subscriptions();
  RaystreamSubscriptions* subscriptions_if_any() const { return subscriptions_.get(); }
  const std::string& project() const { return principal_.project; }
  int64_t max_subscriptions() const;
  /// Whether more may be encrypted ahead of the socket.
  bool has_room() const;
  /// Of a serialized Event. False: the session has ended.
  bool send_event(std::string_view payload);
  /// Its client does not read as fast as it would have to: it ends, and may be resumed.
  void too_slow();
  /// The answer to a SUBSCRIBE. False: the session has ended.
  bool send_answer(RaystreamCall& call);

 private:
  enum class State : uint8_t { kTls, kOpen, kClosing, kEnded };

  Core& core() const;

  // The connection.
  void begin();
  void readable();
  void writable();
  void due();
  void arm_read();
  void arm_write();
  void tls_handshake();
  void read();
  void read_again();
  void discard();
  bool is_backed_up() const;
  void flush();
  void on_timeout() override;
  void arm_timer();

  // Frames.
  void report();
  void take_stream(std::span<char> bytes);
  raystream::Expected expected() const;
  void take_frame(std::span<char> frame);
  void shake_hands(std::span<char> frame);
  void accept();
  raystream::Refusal accept_resumed(raystream::OutgoingBuffer& response);
  bool send_frame(raystream::FrameType type, std::initializer_list<std::string_view> pieces);
  void append_message(std::string_view frame);

  // Frames in WebSocket messages (raystream_session_websocket.cpp).
  void take_websocket(std::span<char> bytes);
  bool take_websocket_frame(net::websocket::Frame& frame);
  bool hold(size_t bytes);

  // What comes in frames (raystream_session_calls.cpp).
  void take_message(raystream::FrameType type, std::string_view payload);
  void take_call(std::string_view payload);
  std::shared_ptr<RaystreamCall> open_call(const CallFrame& frame, const RaystreamMethod* method);
  std::shared_ptr<RaystreamCall> place_call(uint64_t id);
  void refuse_call(uint64_t id, const RaystreamMethod* method, const Error& error);
  void take_heartbeat(std::string_view payload);
  void take_subscribe(std::string_view payload);
  void finish(RaystreamCall& call);
  void pump();
  void check_lives(Clock::time_point now);
  void check_key(Clock::time_point now);
  void check_token(Clock::time_point now);
  void expire_pieces(Clock::time_point now);

  // Resuming (raystream_session_resume.cpp).
  void look_up();
  void looked_up(const Result<cache::v1::SessionReply>& reply);
  void take_resume(std::string_view payload);
  void check_resumed_key();
  void check_resumed_token();
  void raise();
  void look_again();
  void answer_resume();
  void give_up_resuming(raystream::ErrorCode code, std::string_view reason);
  uint64_t ends_at(uint64_t now) const;
  /// `done` runs in a turn of the actor's.
  void verify_token(const RaystreamPrincipal& principal,
                    UniqueFunction<void(const Result<auth::v1::VerifyTokenReply>&)> done);

  // The end (raystream_session_end.cpp).
  /// After these a session is not resumed.
  static bool is_final(raystream::ErrorCode code);
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
  RaystreamRecord record_{*this};
  // Of a session that is resumed, from the look-up to the answer to RESUME.
  std::shared_ptr<RaystreamResuming> resuming_;
  uint64_t first_handshake_at_ = 0;  // Unix milliseconds
  const Clock::time_point opened_;
  Clock::time_point shaken_{};         // when the handshake was done
  Clock::time_point read_at_{};        // the bytes that are being looked at
  Clock::time_point last_frame_{};     // of the client
  Clock::time_point blocked_since_{};  // nothing could be written since; zero: it could
  Clock::time_point token_checked_{};

  // Counted since the last report to the metrics.
  uint32_t frames_in_ = 0, frames_out_ = 0;
  size_t bytes_in_ = 0;

  RaystreamCalls calls_;
  // Calls with large answers, each of which sends a piece in turn.
  std::deque<std::shared_ptr<RaystreamCall>> sending_;
  size_t queued_ = 0;  // bytes of theirs that are not in out_ yet
  size_t all_queued() const;
  std::unique_ptr<RaystreamSubscriptions> subscriptions_;  // nullptr: there was none yet
};

}  // namespace raymesh::gateway
