// OpsServer: a small HTTP server on a thread and io_context of its own, so that it answers when the
// rest of the process is busy.
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ip/v6_only.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <memory>
#include <string>
#include <thread>

#include "libs/base/host_port.hpp"
#include "libs/base/signal_mask.hpp"
#include "libs/host/app.hpp"
#include "libs/host/ops_http.hpp"

namespace raymesh::host {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

constexpr size_t kMaxHead = 8 << 10;
constexpr int kMaxConnections = 64;
constexpr std::chrono::seconds kTimeout{10};  // for reading the head, and again for the answer

struct Shared {
  metrics::Registry& registry;
  std::vector<Check> checks;
  std::vector<Page> pages;
  bool draining = false;
  int connections = 0;
};

class Session : public std::enable_shared_from_this<Session> {
 public:
  Session(tcp::socket socket, Shared& shared)
      : socket_(std::move(socket)), timer_(socket_.get_executor()), shared_(shared) {
    ++shared_.connections;
  }
  ~Session() { --shared_.connections; }

  void read() {
    arm();
    asio::async_read_until(
        socket_, asio::dynamic_buffer(head_, kMaxHead), "\r\n\r\n",
        [self = shared_from_this()](error_code ec, size_t n) { self->answer(ec, n); });
  }

 private:
  void answer(error_code ec, size_t head_bytes) {
    if (ec == asio::error::not_found) {  // more than kMaxHead without an empty line
      head_bytes = 0;
      head_.clear();
    } else if (ec) {
      return close();
    }
    OpsView view{shared_.registry, shared_.checks, shared_.pages, shared_.draining};
    reply_ = answer_ops_request(std::string_view(head_).substr(0, head_bytes), view);
    arm();
    asio::async_write(socket_, asio::buffer(reply_),
                      [self = shared_from_this()](error_code, size_t) { self->close(); });
  }

  void arm() {
    timer_.expires_after(kTimeout);
    timer_.async_wait([weak = weak_from_this()](error_code ec) {
      if (auto self = weak.lock(); self && !ec) self->close();
    });
  }

  void close() {
    timer_.cancel();
    error_code ignored;
    socket_.shutdown(tcp::socket::shutdown_both, ignored);
    socket_.close(ignored);
  }

  tcp::socket socket_;
  asio::steady_timer timer_;
  Shared& shared_;
  std::string head_;
  std::string reply_;
};

class OpsServerImpl final : public OpsServer {
 public:
  OpsServerImpl(metrics::Registry& registry, std::vector<Check> checks)
      : shared_{registry, std::move(checks), {}}, acceptor_(io_), retry_(io_) {}

  ~OpsServerImpl() override {
    io_.stop();
    if (thread_.joinable()) thread_.join();
  }

  Status listen(const std::string& address) {
    RAYMESH_TRY(HostPort where, parse_host_port(address));
    error_code ec;
    tcp::endpoint endpoint(tcp::v6(), where.port);
    if (!where.host.empty()) {
      tcp::resolver resolver(io_);
      auto found = resolver.resolve(where.host, std::to_string(where.port),
                                    tcp::resolver::passive | tcp::resolver::numeric_service, ec);
      if (!ec) endpoint = *found.begin();
    }
    if (!ec) acceptor_.open(endpoint.protocol(), ec);
    if (!ec) acceptor_.set_option(tcp::acceptor::reuse_address(true), ec);
    if (!ec && where.host.empty()) acceptor_.set_option(asio::ip::v6_only(false), ec);
    if (!ec) acceptor_.bind(endpoint, ec);
    if (!ec) acceptor_.listen(kMaxConnections, ec);
    if (ec) return Error(errors::kUnavailable, "cannot listen on " + address + ": " + ec.message());
    port_ = acceptor_.local_endpoint().port();
    accept();
    SignalsBlocked for_the_thread;
    thread_ = std::thread([this] { io_.run(); });
    return ok_status();
  }

  int port() const override { return port_; }

  void set_checks(std::vector<Check> checks) override {
    on_thread([this, checks = std::move(checks)]() mutable { shared_.checks = std::move(checks); });
  }
  void set_pages(std::vector<Page> pages) override {
    on_thread([this, pages = std::move(pages)]() mutable { shared_.pages = std::move(pages); });
  }
  void set_draining() override {
    on_thread([this] { shared_.draining = true; });
  }

 private:
  template <class F>
  void on_thread(F f) {
    asio::post(io_, std::move(f));
  }

  void accept() {
    acceptor_.async_accept([this](error_code ec, tcp::socket socket) {
      if (ec) {  // Out of descriptors, most likely: not in a busy loop.
        retry_.expires_after(std::chrono::seconds(1));
        retry_.async_wait([this](error_code) { accept(); });
        return;
      }
      // Above the bound a connection is closed unread: what is open times out within seconds.
      if (shared_.connections < kMaxConnections)
        std::make_shared<Session>(std::move(socket), shared_)->read();
      accept();
    });
  }

  Shared shared_;  // used by the thread alone, and outlives the sessions in io_
  asio::io_context io_{1};
  tcp::acceptor acceptor_;
  asio::steady_timer retry_;
  int port_ = 0;
  std::thread thread_;
};

}  // namespace

Result<std::unique_ptr<OpsServer>> OpsServer::start(const std::string& address,
                                                    metrics::Registry& registry,
                                                    std::vector<Check> checks) {
  auto server = std::make_unique<OpsServerImpl>(registry, std::move(checks));
  RAYMESH_CHECK_OK(server->listen(address));
  return std::unique_ptr<OpsServer>(std::move(server));
}

}  // namespace raymesh::host
