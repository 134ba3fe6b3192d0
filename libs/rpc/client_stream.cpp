#include "libs/rpc/client_stream.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <boost/asio/ip/tcp.hpp>
#include <cerrno>
#include <cstring>

#include "libs/base/host_port.hpp"
#include "libs/net/unix_address.hpp"
#include "libs/rpc/credentials.hpp"
#include "libs/rpc/frames.hpp"
#include "libs/rpc/peer_core.hpp"
#include "libs/rpc/resolver.hpp"

namespace raymesh::rpc {
namespace {

Http2Limits client_limits() {
  Http2Limits limits;
  limits.max_streams = 0;
  limits.max_message_bytes = frames::kMaxMessageBytes;
  return limits;
}

grpc_wire::Status unavailable(std::string reason) {
  return {static_cast<int>(StatusCode::kUnavailable), std::move(reason)};
}

// The address of "unix:/path" or of a numeric "host:port"; 0 bytes for a name.
socklen_t parse_address(const std::string& text, sockaddr_storage& out) {
  if (text.starts_with(net::kUnixPrefix)) {
    const sockaddr_un name =
        net::unix_address(std::string_view(text).substr(net::kUnixPrefix.size()));
    std::memcpy(&out, &name, sizeof name);
    return sizeof name;
  }
  const auto address = parse_host_port(text);
  if (!address.ok()) return 0;
  boost::system::error_code ec;
  const auto ip = boost::asio::ip::make_address(address->host, ec);
  if (ec) return 0;
  const boost::asio::ip::tcp::endpoint endpoint(ip, address->port);
  std::memcpy(&out, endpoint.data(), endpoint.size());
  return static_cast<socklen_t>(endpoint.size());
}

}  // namespace

// The connection that carries the stream and nothing else.
class ClientStream::Connection final : public Http2Connection {
 public:
  Connection(Place place, int fd, ssl_st* tls, std::shared_ptr<ClientStream> stream)
      : Http2Connection(place.loop(), fd, tls, Side::kClient, client_limits()),
        stream_(std::move(stream)) {}

 protected:
  bool on_ready() override {
    const Dialer& dialer = *stream_->dialer_;
    Headers headers{{":method", "POST"},
                    {":scheme", dialer.tls ? "https" : "http"},
                    {":path", "/" + dialer.service + "/Calls"},
                    {":authority", dialer.identity.empty() ? "localhost" : dialer.identity},
                    {"te", "trailers"},
                    {"content-type", "application/grpc"}};
    if (!dialer.cluster_key.empty()) headers.push_back({kClusterKeyMetadata, dialer.cluster_key});
    stream_->id_ = open(headers, stream_);
    return stream_->id_ != 0;
  }
  void on_connection_closed() override {
    const auto stream = std::move(stream_);
    stream->on_closed(failure());
  }
  std::shared_ptr<StreamHandler> on_request_head(StreamId, const Headers&, size_t&) override {
    return nullptr;
  }

 private:
  std::shared_ptr<ClientStream> stream_;
};

ClientStream::ClientStream(std::shared_ptr<PeerCore> owner, std::shared_ptr<const Dialer> dialer,
                           std::string address, size_t attempt, Place place)
    : owner_(std::move(owner)),
      dialer_(std::move(dialer)),
      address_(std::move(address)),
      attempt_(attempt),
      place_(place) {}

ClientStream::~ClientStream() = default;

void ClientStream::start() {
  owner_->post([self = shared_from_this()] { self->dial(); });
}

void ClientStream::wake() {
  connection_->wake(shared_from_this());
}

void ClientStream::abort() {
  owner_->post([self = shared_from_this()] {
    if (self->connection_)
      self->connection_->close("given up");
    else
      self->done(unavailable("given up"));
  });
}

// ---- Connecting ----

void ClientStream::dial() {
  if (done_) return;
  if (dialer_->in_process) {
    net::UniqueFd socket(dialer_->in_process());
    if (!socket) return done(unavailable("the service has stopped"));
    return connected(std::move(socket));
  }
  sockaddr_storage storage{};
  if (parse_address(address_, storage) > 0) return connect(address_);
  const auto name = parse_host_port(address_);
  if (!name.ok()) return done(unavailable(name.error().message));
  Resolver::shared().resolve(
      name->host, std::to_string(name->port),
      [weak = weak_from_this()](std::vector<std::string> addresses) {
        auto self = weak.lock();
        if (!self) return;
        self->owner_->post([self, all = std::move(addresses)] { self->dial_resolved(all); });
      });
}

void ClientStream::dial_resolved(const std::vector<std::string>& addresses) {
  if (addresses.empty()) return done(unavailable(address_ + " does not resolve"));
  if (!done_) connect(addresses[attempt_ % addresses.size()]);
}

void ClientStream::connect(const std::string& address) {
  sockaddr_storage storage{};
  const socklen_t size = parse_address(address, storage);
  net::UniqueFd socket(::socket(storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) return done(unavailable(std::string("no socket: ") + std::strerror(errno)));
  const int on = 1;
  ::setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&storage), size) != 0 &&
      errno != EINPROGRESS)
    return done(unavailable("cannot connect to " + address + ": " + std::strerror(errno)));
  connected(std::move(socket));
}

void ClientStream::connected(net::UniqueFd socket) {
  ssl_st* session = nullptr;
  if (dialer_->tls && !(session = dialer_->tls->new_session(socket.get(), dialer_->identity)))
    return done(unavailable("OpenSSL has no memory"));
  auto connection =
      std::make_shared<Connection>(place_, socket.release(), session, shared_from_this());
  connection_ = connection;
  connection_->start();
}

// ---- Events ----

void ClientStream::on_headers(const Headers& headers) {
  if (auto status = grpc_wire::parse_status(headers)) {
    status_ = std::move(status);
  } else if (find_header(headers, ":status") == "200") {
    owner_->stream_up(*this);
  } else {
    status_ = unavailable("the answer is no gRPC: HTTP status " +
                          std::string(find_header(headers, ":status")));
  }
}

void ClientStream::on_message(std::string_view message) {
  owner_->stream_batch(*this, message);
}

void ClientStream::on_bad_message(std::string_view why, bool) {
  status_ = unavailable(std::string(why));
  abort();
}

// The service has said its last word; what it has not answered, it will not answer.
void ClientStream::on_end() {
  abort();
}

void ClientStream::on_closed(std::string_view reason) {
  done(status_ ? *status_ : unavailable(std::string(reason)));
  abort();  // the connection is of no other use
}

void ClientStream::on_turn() {
  owner_->stream_turn(*this);
}

void ClientStream::done(const grpc_wire::Status& status) {
  if (std::exchange(done_, true)) return;
  owner_->stream_done(*this, status);
}

}  // namespace raymesh::rpc
