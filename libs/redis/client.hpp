// A pipelined connection to one Redis primary. Callers on any thread hand commands over in batches
// to the I/O thread of the io_context, which writes them together, matches replies in order, keeps
// deadlines and reconnects. Every command is answered exactly once.
//
// When the connection breaks: commands not yet sent wait for the first attempt to connect again;
// reads that were sent are sent once more; writes that were sent answer outcome_unknown. When that
// attempt fails, and as long as Redis stays away, everything answers unavailable at once.
//
// Not for SUBSCRIBE and other commands that change the connection's mode (a class of their own),
// nor for MULTI and WATCH: what must be atomic is a Script.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "libs/base/result.hpp"
#include "libs/base/unique_function.hpp"
#include "libs/redis/address.hpp"
#include "libs/redis/command.hpp"
#include "libs/redis/reply.hpp"
#include "libs/redis/reply_reader.hpp"

namespace boost::asio {
class io_context;
}

namespace raymesh::redis {

class Script;

/// Whether sending a command twice is the same as sending it once.
enum class Effect : uint8_t { kRead, kWrite };

struct ClientConfig {
  Address address;
  std::string client_name = "raymesh";  // CLIENT SETNAME
  std::vector<const Script*> scripts;   // loaded on every connection
  /// Runs on every connection before any command does; the connection is of no use when it fails.
  /// `hello_tail`: number of keys, keys, arguments.
  const Script* hello = nullptr;
  Command hello_tail;
  ReaderLimits reader;
  /// Bounds of what waits and what is in flight together; above them: overloaded.
  size_t max_commands = 65'536;
  size_t max_bytes = 128u << 20;
  std::chrono::milliseconds connect_timeout{2'000};
  /// A server that has answered nothing for so long, with commands in flight, is left.
  std::chrono::milliseconds stall_timeout{5'000};
  std::chrono::milliseconds min_backoff{50};
  std::chrono::milliseconds max_backoff{2'000};
};

struct ClientStats {
  bool connected = false;
  uint64_t commands = 0;     // handed over
  uint64_t outstanding = 0;  // waiting or in flight now
  uint64_t refused = 0;      // overloaded
  uint64_t timeouts = 0;     // deadline passed
  uint64_t connects = 0;     // connections made
  uint64_t breaks = 0;       // connections lost
};

class Client {
 public:
  using Clock = std::chrono::steady_clock;
  /// Runs on the I/O thread (or the caller's, for a refusal); must not block. Error replies of
  /// Redis arrive as an Error (to_error); those inside an array as a Reply.
  using Done = UniqueFunction<void(Result<Reply>)>;

  /// Begins to connect. The context is run by one thread and outlives the client's last handler:
  /// close it, then stop the context. What is unanswered by then is answered when the context goes.
  Client(boost::asio::io_context& context, ClientConfig config);
  /// Closes.
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  void call(Command command, Effect effect, Clock::time_point deadline, Done done);
  /// `tail`: number of keys, keys, arguments. One of the configuration's scripts.
  void eval(const Script& script, Command tail, Effect effect, Clock::time_point deadline,
            Done done);

  bool ready() const;
  ClientStats stats() const;
  const std::string& name() const;
  /// Everything unanswered answers unavailable, on the I/O thread; so do later calls. Any thread.
  void close();

 private:
  class Connection;
  std::shared_ptr<Connection> connection_;
};

}  // namespace raymesh::redis
