// The client as a process that tests in Node drive: commands come as lines of JSON on standard
// input, answers and events go as lines of JSON to standard output, in the order in which they
// happen. One client; two threads run it.
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/thread_pool.hpp>
#include <iostream>
#include <map>
#include <memory>
#include <mutex>

#include "libs/base/encoding.hpp"
#include "libs/base/json_reader.hpp"
#include "libs/base/json_writer.hpp"
#include "raymesh/client.hpp"

namespace {

using namespace raymesh;
using namespace raymesh::client;
namespace asio = boost::asio;

/// A line's members; absent ones are empty.
struct Command {
  std::map<std::string, std::string, std::less<>> texts;
  std::vector<ServerKey> keys;
  bool has(std::string_view name) const { return texts.find(name) != texts.end(); }
  std::string text(std::string_view name) const {
    const auto found = texts.find(name);
    return found != texts.end() ? found->second : std::string();
  }
  int64_t number(std::string_view name) const { return std::stoll(text(name)); }
};

Command read_command(const std::string& line) {
  Command command;
  const auto json = parse_json(line);
  if (!json) std::abort();
  std::string scratch, value;
  for (JsonMembers members(*json); members.next();) {
    const std::string name(members.key(scratch));
    const JsonValue v = members.value();
    if (v.is(JsonKind::kString)) {
      command.texts[name] = std::string(v.text(value));
    } else if (name == "keys") {
      for (JsonMembers list(v); list.next();) {
        ServerKey key;
        for (JsonMembers fields(list.value()); fields.next();)
          (fields.key(scratch) == "id" ? key.id : key.public_key) = fields.value().text(value);
        command.keys.push_back(std::move(key));
      }
    } else {
      command.texts[name] = std::string(v.raw());
    }
  }
  return command;
}

std::mutex output;
void say(const std::string& line) {
  const std::lock_guard lock(output);
  std::cout << line << std::endl;
}

void add_error(json::Object& o, const Error& error) {
  json::Object e(o.key("error"));
  e.string("message", error.what());
  e.string("code", error.code());
  e.string("errorCode", std::string(name_of(error.error_code())));
  e.integer("status", static_cast<int64_t>(error.status()));
  e.integer("retryAfterMs", error.retry_after().count());
  e.boolean("retryable", error.retryable());
  e.end();
}

class Driver {
 public:
  explicit Driver(asio::any_io_executor executor) : executor_(std::move(executor)) {}

  void take(Command command) {
    const std::string op = command.text("op");
    if (op == "new") return make(command);
    if (op == "cancel") {
      const auto found = signals_.find(command.text("target"));
      // On the thread that runs what is cancelled.
      if (found != signals_.end())
        asio::post(found->second->executor,
                   [s = found->second] { s->signal.emit(asio::cancellation_type::total); });
      return;
    }
    auto work = std::make_shared<Work>();
    work->executor = asio::make_strand(executor_);
    signals_[command.text("id")] = work;
    asio::co_spawn(work->executor, run(std::move(command)),
                   asio::bind_cancellation_slot(work->signal.slot(), [](std::exception_ptr) {}));
  }

 private:
  struct Work {
    asio::any_io_executor executor;
    asio::cancellation_signal signal;
  };

  void make(const Command& command) {
    Options options;
    options.url = command.text("url");
    options.api_key = command.text("apiKey");
    options.access_token = command.text("accessToken");
    options.server_keys = command.keys;
    options.tls_ca_file = command.text("tlsCaFile");
    if (command.has("cipher")) options.ciphers = {command.text("cipher")};
    if (command.has("timeoutMs"))
      options.timeout = std::chrono::milliseconds(command.number("timeoutMs"));
    if (command.has("heartbeatMs"))
      options.heartbeat = std::chrono::milliseconds(command.number("heartbeatMs"));
    if (command.has("maxQueuedEvents"))
      options.max_queued_events = static_cast<size_t>(command.number("maxQueuedEvents"));
    options.on_state_change = [](State state, const Error* error) {
      constexpr const char* kNames[] = {"idle", "connecting", "connected", "closed"};
      std::string line;
      json::Object o(line);
      o.string("state", kNames[static_cast<size_t>(state)]);
      if (error) o.string("message", error->what());
      o.end();
      say(line);
    };
    std::string line;
    json::Object o(line);
    o.string("id", command.text("id"));
    try {
      client_ = std::make_unique<Client>(executor_, std::move(options));
    } catch (const Error& error) {
      add_error(o, error);
    }
    o.end();
    say(line);
  }

  asio::awaitable<void> run(Command command) {
    co_await asio::this_coro::reset_cancellation_state(asio::enable_total_cancellation());
    std::string line;
    json::Object o(line);
    o.string("id", command.text("id"));
    try {
      co_await perform(command, o);
    } catch (const Error& error) {
      add_error(o, error);
    } catch (const std::exception& error) {
      add_error(o, Error(ErrorCode::kNone, 0, "thrown", error.what()));
    }
    o.end();
    say(line);
  }

  asio::awaitable<void> perform(const Command& command, json::Object& o) {
    const std::string op = command.text("op");
    if (op == "connect") {
      co_await client_->connect();
    } else if (op == "call") {
      const std::string method = command.text("method");
      CallOptions options = call_options(command);
      if (command.has("bytes")) {
        std::string args = base64_decode(command.text("bytes")).value();
        const std::string result = co_await client_->call_bytes(method, args, options);
        o.string("bytes", base64_encode(result));
      } else {
        const std::string result =
            co_await client_->call_json(method, command.text("json"), options);
        o.string("json", result);
      }
    } else if (op == "subscribe") {
      SubscribeOptions options;
      if (command.text("kind") == "table") options.kind(StreamKind::kTable);
      if (command.has("from")) options.from(base64_decode(command.text("from")).value());
      if (command.has("presence")) options.presence();
      auto made = std::make_unique<Subscription>(client_->subscribe(command.text("name"), options));
      const std::lock_guard lock(mutex_);
      subscriptions_[command.text("id")] = std::move(made);
    } else if (op == "ready") {
      co_await subscription(command).ready();
    } else if (op == "next") {
      const std::optional<Event> event = co_await subscription(command).next();
      if (event) {
        json::Object e(o.key("event"));
        e.integer("type", static_cast<int64_t>(event->type));
        e.string("name", event->name);
        e.string("id", event->id);
        e.string("position", base64_encode(event->position));
        e.string("data", event->data);
        e.end();
      }
    } else if (op == "leave") {
      co_await subscription(command).close();
    } else if (op == "close") {
      co_await client_->close();
    } else if (op == "drop") {
      client_.reset();
    } else if (op == "status") {
      o.string("sessionId", client_->session_id());
      o.string("cipher", client_->cipher());
    } else {
      std::abort();
    }
  }

  Subscription& subscription(const Command& command) {
    const std::lock_guard lock(mutex_);
    return *subscriptions_.at(command.text("subscription"));
  }

  static CallOptions call_options(const Command& command) {
    CallOptions options;
    if (command.has("timeout"))
      options.timeout(std::chrono::milliseconds(command.number("timeout")));
    if (command.has("idempotencyKey")) options.idempotency_key(command.text("idempotencyKey"));
    if (command.has("idempotent")) options.idempotent(command.text("idempotent") == "true");
    if (command.has("path")) options.path(command.text("path"));
    if (command.has("query")) options.query(command.text("query"));
    const auto thrown = [](auto...) { throw std::runtime_error("of the application"); };
    if (command.text("throws") == "onUpload") options.on_upload(thrown);
    if (command.text("throws") == "onDownload") options.on_download(thrown);
    if (!command.has("progress")) return options;
    const auto tell = [id = command.text("id")](const char* which, size_t bytes) {
      std::string line;
      json::Object o(line);
      o.string("progress", id);
      o.integer(which, static_cast<int64_t>(bytes));
      o.end();
      say(line);
    };
    options.on_upload([tell](size_t sent, size_t) { tell("sent", sent); });
    options.on_download([tell](size_t received) { tell("received", received); });
    return options;
  }

  const asio::any_io_executor executor_;
  std::unique_ptr<Client> client_;
  std::map<std::string, std::shared_ptr<Work>> signals_;
  std::mutex mutex_;
  std::map<std::string, std::unique_ptr<Subscription>> subscriptions_;
};

}  // namespace

int main() {
  asio::thread_pool pool(2);
  {
    Driver driver(pool.get_executor());
    for (std::string line; std::getline(std::cin, line);) driver.take(read_command(line));
    pool.stop();
    pool.join();
  }
  return 0;
}
