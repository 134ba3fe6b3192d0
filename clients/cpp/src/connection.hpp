// One connection: handshake, then frames both ways by the states of the protocol page, calls and
// their answers, heartbeats. It ends once, and says why; whoever owns it makes the next one. Lives
// on its session's strand: everything here runs there.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstdint>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "clients/cpp/src/failures.hpp"
#include "clients/cpp/src/transport.hpp"
#include "clients/cpp/src/waiters.hpp"
#include "libs/raystream/client_handshake.hpp"
#include "libs/raystream/frame_stream.hpp"
#include "libs/raystream/session.hpp"
#include "raymesh/raystream/v1/raystream.pb.h"

namespace raymesh::client {

namespace v1 = raystream::v1;

/// What became of a call.
struct Outcome {
  int status = 0;
  std::string result;
  std::optional<Error> error;
  bool lost = false;          // the connection went before an answer came
  std::exception_ptr thrown;  // by on_download
};

struct Progress {
  std::function<void(size_t sent, size_t total)> on_upload;
  std::function<void(size_t received)> on_download;
};

struct CallRequest {
  std::string method;
  std::string args;
  std::map<std::string, std::string> metadata;
  Progress progress;
  std::chrono::milliseconds timeout{0};
  Clock::time_point deadline = kNever;
};

class Connection : public std::enable_shared_from_this<Connection> {
 public:
  struct Settings {
    bool websocket = false;
    raystream::ClientOptions trust;
    std::chrono::milliseconds heartbeat{60'000};
    std::function<void(const v1::Event&)> on_event;
  };
  /// `resumable`: the session can go on over another connection.
  using OnEnd = std::function<void(const Error&, bool resumable)>;

  Connection(const asio::any_io_executor& strand, std::unique_ptr<Transport> transport,
             Settings settings);

  /// Called once.
  void on_end(OnEnd handler) { on_end_ = std::move(handler); }

  /// Connects and shakes hands; with `resume` it asks to go on with that session. Throws Error.
  asio::awaitable<void> open(const raystream::Resumption* resume);
  asio::awaitable<void> attach(const std::string& api_key, const std::string& access_token);
  struct ResumeAnswer {
    std::vector<v1::Resume::Subscription> left;   // did not fit into the frame
    std::vector<v1::Resume::Subscription> ended;  // are gone on the server
  };
  asio::awaitable<ResumeAnswer> resume(std::vector<v1::Resume::Subscription> subscriptions);

  /// Throws only when it is given up here: `timeout`, `cancelled`. `request` outlives it.
  asio::awaitable<Outcome> call(const CallRequest& request);
  /// The result is the position behind which events come.
  asio::awaitable<Outcome> subscribe(v1::StreamKind kind, std::string name, bool on,
                                     std::string from, bool presence = false);

  /// A normal end, which ends the session, too. Returns when the connection has gone.
  asio::awaitable<void> close();
  /// At once and without a word; the session can be resumed.
  void drop(const Error& error);

  bool is_over() const { return over_.has_value(); }
  bool is_resumed() const { return handshake_.resumed(); }
  const std::string& session_id() const { return session_id_; }
  raystream::Cipher cipher() const { return cipher_; }
  /// Once: what resumes this session, if it was attached and did not end for good.
  std::optional<raystream::Resumption> take_resumption() {
    return std::exchange(resumption_, std::nullopt);
  }

 private:
  struct Pending {
    Outcome outcome;
    bool done = false;
    bool attaches = false;
    size_t parts = 0;
    std::function<void(size_t)> on_download;
    Waiters changed;
  };
  class OpenCall;

  asio::awaitable<void> read_loop(std::shared_ptr<Connection> self);
  asio::awaitable<void> write_loop(std::shared_ptr<Connection> self);
  asio::awaitable<void> beat_loop(std::shared_ptr<Connection> self);
  asio::awaitable<void> upload(OpenCall& open, const CallRequest& request);

  raystream::Expected expected() const;
  void receive(std::span<char> bytes);
  void take_frame(std::span<char> frame);
  void take_response(std::span<char> frame);
  bool take_message(raystream::FrameType type, const char* data, int size);
  bool take_answer(const v1::RpcResponse& part);
  void take_resumed(v1::Resumed resumed);
  void refuse(const raystream::Refusal& refusal);

  std::shared_ptr<Pending> expect_answer(uint64_t& id);
  bool send(raystream::FrameType type, std::initializer_list<std::string_view> pieces);
  void frame_added(size_t before);
  void beat();
  void attached();
  /// `linger`: what is sealed is still sent, and what comes thrown away, for a second at most.
  void end(const Error& error, bool resumable, bool linger);

  const asio::any_io_executor strand_;
  const std::unique_ptr<Transport> transport_;
  Settings settings_;
  OnEnd on_end_;
  raystream::ClientHandshake handshake_;
  raystream::Session session_;
  std::string session_id_;
  std::optional<raystream::Resumption> resumption_;
  raystream::Cipher cipher_{};
  raystream::FrameBudget budget_;
  raystream::FrameStream frames_;
  bool ready_ = false;  // the handshake is done
  std::optional<v1::Resumed> resumed_;
  std::optional<Error> over_;

  raystream::OutgoingBuffer out_, writing_;
  std::vector<size_t> out_frames_;  // their sizes
  int loops_ = 0;                   // that run
  Waiters changed_;                 // ready_, resumed_, over_, loops_
  Waiters to_write_;
  Waiters written_;
  asio::steady_timer linger_;

  std::unordered_map<uint64_t, std::shared_ptr<Pending>> pending_;
  uint64_t last_call_ = 0;
  int unanswered_beats_ = 0;
  Waiters beat_wake_;
};

}  // namespace raymesh::client
