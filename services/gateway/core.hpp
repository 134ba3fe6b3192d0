// What all of the gateway's I/O threads share, and what each has for itself. Owned by the App;
// shared parts are thread-safe, a Worker is used on its own thread.
#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "libs/net/http_request.hpp"
#include "libs/net/io_threads.hpp"
#include "libs/net/tls_context.hpp"
#include "libs/net/wheel_driver.hpp"
#include "libs/raystream/frame_stream.hpp"
#include "libs/raystream/server_keys.hpp"
#include "services/gateway/config.hpp"
#include "services/gateway/key_resolver.hpp"
#include "services/gateway/peers.hpp"
#include "services/gateway/probe.hpp"
#include "services/gateway/rate_gate.hpp"
#include "services/gateway/raystream_limits.hpp"
#include "services/gateway/raystream_owners.hpp"
#include "services/gateway/raystream_probe.hpp"
#include "services/gateway/raystream_store.hpp"
#include "services/gateway/realtime_relay.hpp"
#include "services/gateway/relay_fanout.hpp"
#include "services/gateway/token_cache.hpp"

namespace caf {
class actor_system;
}
namespace raymesh::actor {
class LoopUnit;
}

namespace raymesh::gateway {

class HttpSession;
class RaystreamCall;
struct RaystreamMethod;
class RaystreamSession;
class HttpExchange;
struct Core;

struct Worker {
  Worker(Core& c, size_t i);
  ~Worker();

  std::unique_ptr<HttpExchange> take_exchange();
  void give_back(std::unique_ptr<HttpExchange> exchange);

  // A read takes at most this much; the JSON checks may look a little beyond a body's end.
  static constexpr size_t kScratch = 64 << 10;

  Core& core;
  const size_t index;
  net::WheelDriver wheel;
  net::WheelDriver fences;  // of RaystreamOwners, whose times are shorter than a tick of `wheel`
  net::RequestParser parser;
  net::RequestHead head;
  // Whose request `head` holds; nullptr: nobody's any more.
  const HttpSession* head_of = nullptr;
  std::unique_ptr<char[]> scratch;
  KeyResolver keys;
  TokenCache tokens;
  RatePasses rate_passes;
  std::unordered_set<HttpSession*> sessions;
  std::unordered_set<RaystreamSession*> raystream_sessions;
  RelayFanout relayed;
  // Sessions into whose buffers events were put in this turn.
  std::vector<std::shared_ptr<RaystreamSession>> written_sessions;
  // Answered calls, with their places in a session's table: the next ones find memory in them.
  std::vector<std::unordered_map<uint64_t, std::shared_ptr<RaystreamCall>>::node_type> spent_calls;
  // Calls whose answers leave with this turn.
  struct FinishedCall {
    const RaystreamMethod* method;
    int status;
    std::chrono::steady_clock::time_point started;
  };
  std::vector<FinishedCall> finished_calls;
  // The sessions' actors run here; made and destroyed on this thread.
  std::unique_ptr<actor::LoopUnit> actors;
  /// Runs those that have got a message, and those that they send to; in a turn: at its end.
  void run_actors();
  /// One of them runs at this moment.
  bool in_turn() const { return in_turn_; }
  /// While it lives an actor of this thread runs; then those that it has sent to.
  class Turn {
   public:
    explicit Turn(Worker& worker) : worker_(worker) { worker_.in_turn_ = true; }
    ~Turn() {
      worker_.in_turn_ = false;
      worker_.run_actors();
    }
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;

   private:
    Worker& worker_;
  };

 private:
  std::vector<std::unique_ptr<HttpExchange>> free_exchanges_;
  bool in_turn_ = false;
};

struct Core {
  Core(const Config& config, metrics::Registry& registry, caf::actor_system& system);
  ~Core();

  const Config config;
  caf::actor_system& system;
  Peers peers;  // set once, before the port opens
  Probe probe;
  RateGate rates;
  std::optional<raystream::ServerKeys> raystream_keys;  // set once, before the port opens
  RaystreamLimits raystream_limits;
  RaystreamProbe raystream_probe;
  RaystreamStore raystream_store;
  RaystreamOwners raystream_owners;
  raystream::FrameBudget strangers_frames;  // incomplete frames of who is not attached
  raystream::FrameBudget frames;            // and of the others
  std::atomic<uint64_t> result_memory{0};   // results that wait to be sent
  std::shared_ptr<net::TlsContext> tls;     // nullptr: plain
  std::atomic<bool> draining{false};
  std::atomic<uint64_t> body_memory{0};
  std::atomic<int64_t> calls{0};  // in flight at the services, all kinds
  std::atomic<int64_t> open_sessions{0};
  net::IoThreads threads;
  std::vector<std::unique_ptr<Worker>> workers;
  std::unique_ptr<RealtimeRelay> relay;
};

}  // namespace raymesh::gateway
