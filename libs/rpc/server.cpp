#include "libs/rpc/server.hpp"

#include <sys/socket.h>

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <unordered_map>

#include "libs/net/io_threads.hpp"
#include "libs/net/unique_fd.hpp"
#include "libs/rpc/acceptor.hpp"
#include "libs/rpc/mesh_tls.hpp"
#include "libs/rpc/server_connection.hpp"
#include "libs/telemetry/log.hpp"

namespace raymesh::rpc {
namespace {

// Closing a connection of ours is a matter of milliseconds; nothing may hang on it.
constexpr std::chrono::seconds kCloseTimeout{5};

class ServerImpl final : public Server {
 public:
  ~ServerImpl() override { stop(std::chrono::milliseconds(0)); }

  Status start(ServerConfig config, MethodTable methods) {
    RAYMESH_CHECK_OK(check_bind(config.address, config.credentials));
    RAYMESH_TRY(tls_, load_mesh_tls(config.credentials.tls, net::TlsContext::Role::kMeshServer));
    max_connections_ = config.limits.max_connections;
    doors_.service = config.service;
    doors_.standard = std::make_unique<StandardServices>(config.service);
    RAYMESH_TRY(doors_.dispatcher, Dispatcher::create(config, std::move(methods)));
    doors_.closed = [this](Http2Connection* connection) { forget(connection); };
    if (config.loops.empty()) own_threads_.emplace(1, "rpc-" + config.name);
    loops_ = own_threads_ ? own_threads_->loops() : std::move(config.loops);
    running_ = true;
    if (!config.address.empty()) {
      auto acceptor = Acceptor::open(config.address, *loops_[0],
                                     [this](int fd) { take(fd, /*in_process=*/false); });
      if (!acceptor.ok())
        return Error(*acceptor.error().kind, config.name + ": " + acceptor.error().message);
      acceptor_ = std::move(*acceptor);
    }
    set_serving(true);
    return ok_status();
  }

  int port() const override { return acceptor_ ? acceptor_->port() : 0; }

  int connect_in_process() override {
    if (!running_) return -1;
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) != 0) return -1;
    take(ends[0], /*in_process=*/true);
    return ends[1];
  }

  void set_serving(bool serving) override { doors_.standard->set_serving(serving); }

  void stop(std::chrono::milliseconds grace) override {
    if (!running_.exchange(false)) return;
    const auto deadline = Clock::now() + grace;
    set_serving(false);
    doors_.dispatcher->drain(grace);
    if (acceptor_) acceptor_->close();
    doors_.standard->end_watches();
    // What is open goes on, nothing new is taken.
    for_each([](Http2Connection& connection) { connection.close_when_done(); });
    if (!wait_for_end(deadline)) {
      for_each([](Http2Connection& connection) { connection.close("the service has stopped"); });
      if (!wait_for_end(Clock::now() + kCloseTimeout))
        log::error("connections do not end", {{"service", doors_.service}});
    }
    if (own_threads_) own_threads_->stop();
  }

 private:
  // Any thread. Connections are dealt out to the threads in turn.
  void take(int fd, bool in_process) {
    net::UniqueFd socket(fd);
    {
      std::lock_guard lock(mutex_);
      if (closing_) return;
      ++arriving_;
    }
    // Also when a stopped thread destroys the task unrun.
    std::shared_ptr<void> arrival(nullptr, [this](void*) {
      std::lock_guard lock(mutex_);
      --arriving_;
      ended_.notify_all();
    });
    net::Loop& loop = *loops_[next_.fetch_add(1) % loops_.size()];
    loop.post([this, &loop, owned = std::move(socket), in_process,
               arrival = std::move(arrival)]() mutable {
      const auto arrived = std::move(arrival);
      ssl_st* session = nullptr;
      if (tls_ && !in_process && !(session = tls_->new_session(owned.get()))) return;
      auto connection =
          std::make_shared<ServerConnection>(loop, owned.release(), session, in_process, doors_);
      {
        std::lock_guard lock(mutex_);
        if (closing_ || connections_.size() >= max_connections_) return;
        connections_.emplace(connection.get(), connection);
      }
      connection->start();
    });
  }

  void forget(Http2Connection* connection) {
    std::lock_guard lock(mutex_);
    connections_.erase(connection);
    ended_.notify_all();
  }

  template <class F>
  void for_each(F f) {
    std::vector<std::shared_ptr<Http2Connection>> all;
    {
      std::lock_guard lock(mutex_);
      closing_ = true;
      for (auto& [raw, connection] : connections_) all.push_back(connection);
    }
    for (auto& connection : all) {
      net::Loop& loop = connection->loop();
      loop.post([connection = std::move(connection), f] { f(*connection); });
    }
  }

  bool wait_for_end(Clock::time_point until) {
    std::unique_lock lock(mutex_);
    return ended_.wait_until(lock, until,
                             [this] { return connections_.empty() && arriving_ == 0; });
  }

  std::shared_ptr<net::TlsContext> tls_;
  Doors doors_;
  size_t max_connections_ = 0;
  std::optional<net::IoThreads> own_threads_;
  std::vector<net::Loop*> loops_;
  std::shared_ptr<Acceptor> acceptor_;
  std::atomic<size_t> next_{0};
  std::atomic<bool> running_{false};

  std::mutex mutex_;
  std::condition_variable ended_;
  std::unordered_map<Http2Connection*, std::shared_ptr<Http2Connection>> connections_;
  size_t arriving_ = 0;   // guarded by mutex_: sockets on the way to their thread
  bool closing_ = false;  // guarded by mutex_
};

}  // namespace

Result<std::unique_ptr<Server>> Server::start(ServerConfig config, MethodTable methods) {
  auto server = std::make_unique<ServerImpl>();
  RAYMESH_CHECK_OK(server->start(std::move(config), std::move(methods)));
  return std::unique_ptr<Server>(std::move(server));
}

}  // namespace raymesh::rpc
