#include "tests/support/ws_client.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <system_error>
#include <utility>

#include "libs/net/websocket/message_deflater.hpp"
#include "libs/net/websocket/message_inflater.hpp"

namespace raymesh::testing {

namespace ws = net::websocket;

namespace {

constexpr size_t kMostInflated = 64u << 20;

}  // namespace

WsClient::WsClient(int port, int receive_buffer)
    : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  if (receive_buffer > 0)
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
  const int one = 1;
  ::setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(static_cast<uint16_t>(port));
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(fd_, reinterpret_cast<sockaddr*>(&to), sizeof to) < 0) {
    const int error = errno;
    ::close(fd_);
    throw std::system_error(error, std::generic_category(), "connect");
  }
}

WsClient::WsClient(WsClient&& o) noexcept
    : close_reason(std::move(o.close_reason)),
      deflate(o.deflate),
      answer_pings(o.answer_pings),
      pings(o.pings),
      deadline(o.deadline),
      fd_(std::exchange(o.fd_, -1)),
      ssl_(std::exchange(o.ssl_, nullptr)),
      in_(std::move(o.in_)) {}

void WsClient::start_tls() {
  SSL_CTX* context = SSL_CTX_new(TLS_client_method());
  ssl_ = SSL_new(context);
  SSL_CTX_free(context);  // the session holds it
  SSL_set_fd(ssl_, fd_);
  if (SSL_connect(ssl_) != 1) throw std::runtime_error("TLS handshake failed");
}

WsClient::~WsClient() {
  if (ssl_) SSL_free(ssl_);
  if (fd_ >= 0) ::close(fd_);
}

WsClient WsClient::open(int port, const std::string& target, int receive_buffer) {
  WsClient client(port, receive_buffer);
  const std::string head = client.handshake(target);
  // RFC 6455 section 1.3 has the answer to this key.
  if (head.rfind("HTTP/1.1 101 ", 0) != 0 ||
      head.find("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=") == std::string::npos)
    throw std::runtime_error("handshake refused: " + head);
  return client;
}

std::string WsClient::handshake(const std::string& target, const std::string& extra_headers) {
  send_raw("GET " + target +
           " HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
           "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" +
           extra_headers + "\r\n");
  return receive_head();
}

std::string WsClient::receive_head() {
  size_t end;
  while ((end = in_.find("\r\n\r\n")) == std::string::npos)
    if (!fill(deadline)) return std::exchange(in_, {});
  std::string head = in_.substr(0, end + 4);
  in_.erase(0, end + 4);
  deflate = head.find("\r\nSec-WebSocket-Extensions: permessage-deflate") != std::string::npos;
  return head;
}

void WsClient::send_raw(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ssl_ ? SSL_write(ssl_, bytes.data(), static_cast<int>(bytes.size()))
                           : ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n <= 0) throw std::system_error(errno, std::generic_category(), "send");
    bytes.remove_prefix(static_cast<size_t>(n));
  }
}

std::string WsClient::frame(Opcode opcode, std::string_view payload, bool fin) {
  std::string out(ws::kMaxServerHeader, '\0');
  out.resize(ws::write_server_header(out.data(), opcode, payload.size()));
  if (!fin) out[0] = static_cast<char>(out[0] & 0x7f);
  out[1] = static_cast<char>(out[1] | 0x80);
  const unsigned char mask[4] = {0x37, 0xfa, 0x21, 0x3d};
  out.append(reinterpret_cast<const char*>(mask), 4);
  const size_t start = out.size();
  out += payload;
  ws::apply_mask(std::span<char>(out).subspan(start), mask);
  return out;
}

void WsClient::send(Opcode opcode, std::string_view payload, bool fin) {
  send_raw(frame(opcode, payload, fin));
}

void WsClient::send_compressed(std::string_view text) {
  ws::MessageDeflater deflater({.level = 6, .min_bytes = 0});
  const std::string_view made = deflater.frame(Opcode::kText, text);
  if (made.empty()) throw std::runtime_error("the text does not become smaller");
  const size_t header = made[1] < 126 ? 2 : made[1] == 126 ? 4 : 10;
  std::string out = frame(Opcode::kText, made.substr(header));
  out[0] = made[0];
  send_raw(out);
}

bool WsClient::fill(std::chrono::milliseconds timeout) {
  pollfd p{fd_, POLLIN, 0};
  if (!(ssl_ && SSL_pending(ssl_) > 0) && ::poll(&p, 1, static_cast<int>(timeout.count())) == 0)
    throw std::runtime_error("nothing came within " + std::to_string(timeout.count()) + " ms");
  char buffer[65'536];
  const ssize_t n =
      ssl_ ? SSL_read(ssl_, buffer, sizeof buffer) : ::recv(fd_, buffer, sizeof buffer, 0);
  if (n <= 0) return false;
  in_.append(buffer, static_cast<size_t>(n));
  return true;
}

std::optional<WsClient::Frame> WsClient::receive() {
  for (;;) {
    // RFC 6455 sections 5.1 and 5.2; permessage-deflate alone gives RSV1 a meaning.
    if (in_.size() >= 2 && ((in_[0] & (deflate ? 0x30 : 0x70)) != 0 || (in_[1] & 0x80) != 0))
      throw std::runtime_error("a frame with a mask or with reserved bits");
    const bool header = in_.size() >= 2 && in_.size() >= ([&] {
                                             const auto b = static_cast<unsigned char>(in_[1]);
                                             return b < 126 ? 2u : b == 126 ? 4u : 10u;
                                           }());
    if (!header || in_.size() < ws::server_frame_bytes(in_.data())) {
      if (!fill(deadline)) return std::nullopt;
      continue;
    }
    const size_t whole = ws::server_frame_bytes(in_.data());
    Frame out;
    const char first = in_[0];
    out.opcode = static_cast<Opcode>(first & 0x0f);
    const auto b = static_cast<unsigned char>(in_[1]);
    out.payload = in_.substr(b < 126 ? 2 : b == 126 ? 4 : 10);
    out.payload.resize(whole - (b < 126 ? 2 : b == 126 ? 4 : 10));
    in_.erase(0, whole);
    out.compressed = (first & 0x40) != 0;
    if (out.compressed) {
      ws::MessageAssembler::Message message{out.opcode == Opcode::kText, true, out.payload};
      ws::MessageInflater inflater;
      if (ws::is_control(out.opcode) || inflater.open(message, kMostInflated) != 0)
        throw std::runtime_error("a compressed frame that does not open");
      out.payload = std::string(message.payload.data(), message.payload.size());
    }
    if (out.opcode == Opcode::kPing) {
      ++pings;
      if (answer_pings) send(Opcode::kPong, out.payload);
      continue;
    }
    return out;
  }
}

std::string WsClient::receive_text() {
  auto frame = receive();
  if (!frame) throw std::runtime_error("the stream ended instead of a message");
  if (frame->opcode != Opcode::kText)
    throw std::runtime_error("not a text frame: opcode " +
                             std::to_string(static_cast<int>(frame->opcode)));
  return std::move(frame->payload);
}

int WsClient::receive_close() {
  while (auto frame = receive()) {
    if (frame->opcode != Opcode::kClose) continue;
    ws::ClosePayload close;
    if (ws::parse_close_payload(frame->payload, close) != 0) return -2;
    close_reason = close.reason;
    // The client's half of the closing handshake; the server may have gone already.
    const std::string answer = WsClient::frame(Opcode::kClose, frame->payload);
    if (ssl_) {
      SSL_write(ssl_, answer.data(), static_cast<int>(answer.size()));
    } else {
      ::send(fd_, answer.data(), answer.size(), MSG_NOSIGNAL);
    }
    return close.code;
  }
  return -1;
}

std::string WsClient::receive_raw() {
  if (in_.empty() && !fill(deadline)) throw std::runtime_error("the stream has ended");
  return std::exchange(in_, {});
}

std::string WsClient::read_to_end() {
  while (fill(deadline)) {
  }
  return std::exchange(in_, {});
}

bool WsClient::is_silent_for(std::chrono::milliseconds time) {
  if (!in_.empty()) return false;
  pollfd p{fd_, POLLIN, 0};
  return ::poll(&p, 1, static_cast<int>(time.count())) == 0;
}

}  // namespace raymesh::testing
