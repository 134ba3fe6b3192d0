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
#include "libs/rpc/resolver.hpp"

namespace raymesh::rpc {
namespace {

Http2Limits client_limits(size_t max_message_bytes) {
  Http2Limits limits;
  limits.max_streams = 0;
  limits.max_message_bytes = max_message_bytes;
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
      : Http2Connection(place.loop(), fd, tls, Side::kClient,
                        client_limits(stream->target_.max_message_bytes)),
        stream_(std::move(stream)) {}

 protected:
  bool on_ready() override {
    const Dialer& dialer = *stream_->target_.dialer;
    Headers headers{{":method", "POST"},
                    {":scheme", dialer.tls ? "https" : "http"},
                    {":path", "/" + dialer.service + "/" + stream_->target_.method},
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

ClientStream::ClientStream(StreamTarget target, Place place)
    : target_(std::move(target)), place_(place) {}

ClientStream::~ClientStream() = default;

void ClientStream::start() {
  post([self = shared_from_this()] { self->dial(); });
}

void ClientStream::wake() {
  connection_->wake(shared_from_this());
}

void ClientStream::abort() {
  post([self = shared_from_this()] { self->close(); });
}

void ClientStream::close() {
  if (connection_)
    connection_->close("given up");
  else
    finish(unavailable("given up"));
}

// ---- Connecting ----

void ClientStream::dial() {
  if (done_) return;
  if (target_.dialer->in_process) {
    net::UniqueFd socket(target_.dialer->in_process());
    if (!socket) return finish(unavailable("the service has stopped"));
    return connected(std::move(socket));
  }
  sockaddr_storage storage{};
  if (parse_address(target_.address, storage) > 0) return connect(target_.address);
  const auto name = parse_host_port(target_.address);
  if (!name.ok()) return finish(unavailable(name.error().message));
  Resolver::shared().resolve(
      name->host, std::to_string(name->port),
      [weak = weak_from_this()](std::vector<std::string> addresses) {
        auto self = weak.lock();
        if (!self) return;
        self->post([self, all = std::move(addresses)] { self->dial_resolved(all); });
      });
}

void ClientStream::dial_resolved(const std::vector<std::string>& addresses) {
  if (addresses.empty()) return finish(unavailable(target_.address + " does not resolve"));
  if (!done_) connect(addresses[target_.attempt % addresses.size()]);
}

void ClientStream::connect(const std::string& address) {
  sockaddr_storage storage{};
  const socklen_t size = parse_address(address, storage);
  net::UniqueFd socket(::socket(storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) return finish(unavailable(std::string("no socket: ") + std::strerror(errno)));
  const int on = 1;
  ::setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&storage), size) != 0 &&
      errno != EINPROGRESS)
    return finish(unavailable("cannot connect to " + address + ": " + std::strerror(errno)));
  connected(std::move(socket));
}

void ClientStream::connected(net::UniqueFd socket) {
  ssl_st* session = nullptr;
  if (target_.dialer->tls &&
      !(session = target_.dialer->tls->new_session(socket.get(), target_.dialer->identity)))
    return finish(unavailable("OpenSSL has no memory"));
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
    up_now();
  } else {
    status_ = unavailable("the answer is no gRPC: HTTP status " +
                          std::string(find_header(headers, ":status")));
  }
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
  finish(status_ ? *status_ : unavailable(std::string(reason)));
  abort();  // the connection is of no other use
}

void ClientStream::finish(const grpc_wire::Status& status) {
  if (std::exchange(done_, true)) return;
  done(status);
}

}  // namespace raymesh::rpc
