#include "libs/net/listener.hpp"

#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cerrno>
#include <cstring>
#include <future>
#include <optional>

#include "libs/net/descriptors.hpp"
#include "libs/telemetry/log.hpp"

namespace raymesh::net {

namespace asio = boost::asio;
using asio::ip::tcp;
using Clock = std::chrono::steady_clock;

namespace {

// Connections taken per wake-up, so that a storm of connects does not starve those that are open.
constexpr int kAcceptsPerWake = 64;
// How long to leave the backlog alone when the process or the kernel is out of descriptors or
// memory.
constexpr std::chrono::milliseconds kExhaustedPause{100};
constexpr std::chrono::seconds kExhaustedLogInterval{5};

}  // namespace

struct Listener::Acceptor {
  Acceptor(State* s, size_t t, asio::io_context& io)
      : state(s), thread(t), socket(std::in_place, io), timer(std::in_place, io) {}
  State* state;
  size_t thread;
  // Gone after close(): the listener itself may live longer than the threads' io_contexts.
  std::optional<tcp::acceptor> socket;
  std::optional<asio::steady_timer> timer;
  // True while it waits for a connection to end; whoever turns it to false resumes it.
  std::atomic<bool> at_limit{false};
  Clock::time_point logged{};
  bool closed = false;
};

struct Listener::State {
  // A thread's share of the accept rate, used by its acceptors.
  struct Rate {
    double tokens = 1;
    Clock::time_point refilled = Clock::now();
  };

  State(IoThreads& t, ListenerConfig c, OnAccept f)
      : threads(t),
        config(std::move(c)),
        on_accept(std::move(f)),
        rates(t.size()),
        by_thread(t.size()) {}
  IoThreads& threads;
  ListenerConfig config;
  OnAccept on_accept;
  Listener* self = nullptr;
  std::atomic<size_t> connections{0};
  std::vector<Rate> rates;                     // by thread
  std::vector<std::atomic<size_t>> by_thread;  // connections
  std::vector<std::unique_ptr<Acceptor>> acceptors;
};

ConnectionSlot& ConnectionSlot::operator=(ConnectionSlot&& o) noexcept {
  if (this != &o) {
    release();
    listener_ = std::move(o.listener_);
    thread_ = o.thread_;
  }
  return *this;
}

void ConnectionSlot::release() {
  if (auto listener = std::move(listener_)) listener->connection_closed(thread_);
}

Listener::Listener() = default;
Listener::~Listener() = default;

Result<std::shared_ptr<Listener>> Listener::open(IoThreads& threads, ListenerConfig config,
                                                 OnAccept on_accept) {
  RAYMESH_TRY(BoundPort bound, BoundPort::open(config.address));
  reserve_descriptors(config.max_connections);
  std::shared_ptr<Listener> listener(new Listener);
  listener->port_ = bound.port();
  listener->state_ = std::make_unique<State>(threads, std::move(config), std::move(on_accept));
  listener->state_->self = listener.get();
  for (BoundPort::Socket& socket : bound.sockets())
    RAYMESH_CHECK_OK(listener->open_acceptors(socket));
  for (auto& a : listener->state_->acceptors)
    threads.post(a->thread, [listener, acceptor = a.get()] { wait(*acceptor); });
  return listener;
}

// Another process of the same user could share a SO_REUSEPORT port by accident, so the first socket
// was bound without it and gets it only for our own other threads.
Status Listener::open_acceptors(BoundPort::Socket& first) {
  using ReusePort = asio::detail::socket_option::boolean<SOL_SOCKET, SO_REUSEPORT>;
  State& state = *state_;
  for (size_t i = 0; i < state.threads.size(); ++i) {
    auto a = std::make_unique<Acceptor>(&state, i, state.threads.context(i));
    boost::system::error_code ec;
    auto failed = [&](const char* step) {
      return Error(errors::kUnavailable, std::string("cannot ") + step + " " +
                                             state.config.address + ": " + ec.message());
    };
    if (i == 0)
      a->socket->assign(first.endpoint.protocol(), first.fd.release(), ec);
    else
      a->socket->open(first.endpoint.protocol(), ec);
    if (ec) return failed("open a socket for");
    if (a->socket->set_option(tcp::acceptor::reuse_address(true), ec); ec) return failed("prepare");
    if (a->socket->set_option(ReusePort(true), ec); ec) return failed("share");
    if (i != 0) a->socket->bind(first.endpoint, ec);
    if (ec) return failed("bind");
    if (a->socket->listen(state.config.backlog, ec); ec) return failed("listen on");
    a->socket->non_blocking(true, ec);
    state.acceptors.push_back(std::move(a));
  }
  return ok_status();
}

size_t Listener::connections() const {
  return state_->connections.load(std::memory_order_relaxed);
}

void Listener::close() {
  const auto run = [this](size_t thread, auto&& task) {
    std::promise<void> done;
    std::future<void> ran = done.get_future();
    state_->threads.post(thread, [&task, done = std::move(done)]() mutable {
      task();
      done.set_value();
    });
    ran.wait();  // also ends when a stopped thread destroys the task unrun
  };
  for (auto& a : state_->acceptors)
    run(a->thread, [&acceptor = *a] {
      acceptor.closed = true;
      acceptor.socket.reset();
      acceptor.timer.reset();
    });
  // What they had handed to other threads has come there by then.
  for (size_t i = 0; i < state_->threads.size(); ++i) run(i, [] {});
}

void Listener::connection_closed(size_t thread) {
  state_->by_thread[thread].fetch_sub(1, std::memory_order_relaxed);
  state_->connections.fetch_sub(1);
  for (auto& a : state_->acceptors) {
    if (!a->at_limit.load()) continue;
    if (a->at_limit.exchange(false))
      state_->threads.post(a->thread,
                           [self = shared_from_this(), acceptor = a.get()] { wait(*acceptor); });
  }
}

void Listener::wait(Acceptor& a) {
  if (a.closed) return;
  a.socket->async_wait(tcp::acceptor::wait_read, [self = a.state->self->shared_from_this(),
                                                  &a](boost::system::error_code ec) {
    if (!ec) accept_ready(a);
  });
}

void Listener::pause(Acceptor& a, std::chrono::milliseconds duration) {
  a.timer->expires_after(duration);
  a.timer->async_wait([self = a.state->self->shared_from_this(), &a](boost::system::error_code ec) {
    if (!ec) wait(a);
  });
}

size_t Listener::choose_thread(State& state) {
  const auto count = [&state](size_t i) {
    return state.by_thread[i].load(std::memory_order_relaxed);
  };
  if (count(0) < state.config.one_thread_up_to) return 0;
  size_t best = 0;
  for (size_t i = 1; i < state.by_thread.size(); ++i)
    if (count(i) < count(best)) best = i;
  return best;
}

void Listener::accept_ready(Acceptor& a) {
  State& state = *a.state;
  for (int taken = 0; taken < kAcceptsPerWake && !a.closed; ++taken) {
    if (state.config.accepts_per_second > 0) {
      const double rate = state.config.accepts_per_second / static_cast<double>(state.rates.size());
      State::Rate& left = state.rates[a.thread];
      const auto now = Clock::now();
      const double elapsed = std::chrono::duration<double>(now - left.refilled).count();
      left.tokens = std::min(std::max(1.0, rate), left.tokens + elapsed * rate);
      left.refilled = now;
      if (left.tokens < 1) {
        pause(a,
              std::chrono::milliseconds(1 + static_cast<int64_t>((1 - left.tokens) * 1000 / rate)));
        return;
      }
    }
    if (state.connections.fetch_add(1) >= state.config.max_connections) {
      a.at_limit.store(true);
      // One may have ended between the two lines, when the flag was not up yet.
      if (state.connections.fetch_sub(1) - 1 >= state.config.max_connections ||
          !a.at_limit.exchange(false))
        return;
      continue;
    }
    sockaddr_storage address{};
    socklen_t length = sizeof address;
    const int fd = ::accept4(a.socket->native_handle(), reinterpret_cast<sockaddr*>(&address),
                             &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
      const int error = errno;
      state.connections.fetch_sub(1);
      if (error == EAGAIN || error == EWOULDBLOCK) break;
      if (error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM) {
        if (Clock::now() - a.logged > kExhaustedLogInterval) {
          a.logged = Clock::now();
          log::error("cannot accept connections", {{"error", std::strerror(error)}});
        }
        pause(a, kExhaustedPause);
        return;
      }
      continue;  // the connection was gone already (ECONNABORTED and network errors, accept(2))
    }
    if (state.config.accepts_per_second > 0) state.rates[a.thread].tokens -= 1;
    const size_t thread = choose_thread(state);
    state.by_thread[thread].fetch_add(1, std::memory_order_relaxed);
    Accepted accepted{thread, tcp::socket(state.threads.context(thread)), {}, {}};
    accepted.slot.listener_ = state.self->shared_from_this();
    accepted.slot.thread_ = thread;
    std::memcpy(accepted.peer.data(), &address, length);
    const int on = 1;
    ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    boost::system::error_code ec;
    accepted.socket.assign(accepted.peer.protocol(), fd, ec);
    if (ec) {
      ::close(fd);
      continue;
    }
    accepted.socket.non_blocking(true, ec);
    if (thread == a.thread) {
      state.on_accept(std::move(accepted));
      continue;
    }
    // A thread that has stopped destroys it unrun, and so closes the socket.
    state.threads.post(thread, [&state, owned = std::make_unique<Accepted>(std::move(accepted))] {
      state.on_accept(std::move(*owned));
    });
  }
  wait(a);
}

}  // namespace raymesh::net
