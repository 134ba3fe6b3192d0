#include "libs/net/fd_stream.hpp"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "libs/net/tls_context.hpp"

namespace raymesh::net {
namespace {

IoResult socket_result(ssize_t n, IoState want) {
  if (n >= 0) return {IoState::kDone, static_cast<size_t>(n)};
  if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR) return {want};
  return {IoState::kFailed};
}

// SSL_get_error looks at the thread's queue of errors, so it must be empty before each call. Asking
// costs a fraction of clearing it.
void clear_errors() {
  if (ERR_peek_error() != 0) ERR_clear_error();
}

}  // namespace

FdStream::FdStream(int fd, TlsContext* tls) : fd_(fd) {
  if (!tls) return;
  ssl_ = tls->new_session(fd);
  broken_ = ssl_ == nullptr;
}

FdStream::FdStream(FdStream&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)),
      broken_(std::exchange(other.broken_, true)),
      ssl_(std::exchange(other.ssl_, nullptr)),
      failure_(std::move(other.failure_)) {}

FdStream::~FdStream() {
  if (ssl_) SSL_free(ssl_);
}

IoResult FdStream::tls_result(int result) {
  if (result > 0) return {IoState::kDone, static_cast<size_t>(result)};
  switch (SSL_get_error(ssl_, result)) {
    case SSL_ERROR_WANT_READ:
      return {IoState::kWantRead};
    case SSL_ERROR_WANT_WRITE:
      return {IoState::kWantWrite};
    case SSL_ERROR_ZERO_RETURN:
      return {IoState::kEnd};
    default:
      // After a fatal error the session must not be used again, not even for close_notify.
      broken_ = true;
      ERR_clear_error();
      return {IoState::kFailed};
  }
}

IoResult FdStream::handshake() {
  if (broken_) return {IoState::kFailed};
  if (!ssl_) return {IoState::kDone};
  ERR_clear_error();
  const int result = SSL_do_handshake(ssl_);
  if (result != 1) note_failure();
  return tls_result(result);
}

void FdStream::note_failure() {
  const unsigned long code = ERR_peek_error();
  if (code == 0) return;
  const char* reason = ERR_reason_error_string(code);
  failure_ = reason ? reason : "TLS error " + std::to_string(code);
  const long verified = SSL_get_verify_result(ssl_);
  if (verified != X509_V_OK)
    failure_ += std::string(": ") + X509_verify_cert_error_string(verified);
}

bool FdStream::has_pending() const {
  return ssl_ && !broken_ && SSL_has_pending(ssl_) == 1;
}

std::vector<std::string> FdStream::peer_names() const {
  std::vector<std::string> names;
  if (!ssl_ || broken_) return names;
  X509* certificate = SSL_get1_peer_certificate(ssl_);
  if (!certificate) return names;
  auto* all = static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr));
  for (int i = 0; i < sk_GENERAL_NAME_num(all); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(all, i);
    if (name->type != GEN_DNS) continue;
    names.emplace_back(reinterpret_cast<const char*>(ASN1_STRING_get0_data(name->d.dNSName)),
                       static_cast<size_t>(ASN1_STRING_length(name->d.dNSName)));
  }
  GENERAL_NAMES_free(all);
  X509_free(certificate);
  return names;
}

IoResult FdStream::read(void* data, size_t size) {
  if (broken_) return {IoState::kFailed};
  if (ssl_) {
    clear_errors();
    return tls_result(SSL_read(ssl_, data, static_cast<int>(std::min<size_t>(size, 1u << 30))));
  }
  const ssize_t n = ::recv(fd_, data, size, 0);
  if (n == 0 && size > 0) return {IoState::kEnd};
  return socket_result(n, IoState::kWantRead);
}

bool FdStream::at_end() {
  if (broken_) return true;
  char byte;
  IoResult r;
  if (ssl_) {
    clear_errors();
    r = tls_result(SSL_peek(ssl_, &byte, 1));
  } else {
    const ssize_t n = ::recv(fd_, &byte, 1, MSG_PEEK);
    r = n == 0 ? IoResult{IoState::kEnd} : socket_result(n, IoState::kWantRead);
  }
  return r.state == IoState::kEnd || r.state == IoState::kFailed;
}

IoResult FdStream::write(const void* data, size_t size) {
  if (broken_) return {IoState::kFailed};
  if (ssl_) {
    clear_errors();
    return tls_result(SSL_write(ssl_, data, static_cast<int>(std::min<size_t>(size, 1u << 30))));
  }
  return socket_result(::send(fd_, data, size, MSG_NOSIGNAL), IoState::kWantWrite);
}

IoResult FdStream::write(std::span<const iovec> pieces) {
  if (pieces.size() == 1) return write(pieces[0].iov_base, pieces[0].iov_len);
  if (!ssl_) {
    msghdr message{};
    message.msg_iov = const_cast<iovec*>(pieces.data());
    message.msg_iovlen = std::min<size_t>(pieces.size(), IOV_MAX);
    return socket_result(::sendmsg(fd_, &message, MSG_NOSIGNAL), IoState::kWantWrite);
  }
  thread_local char record[FdStream::kRecord];
  size_t used = 0;
  for (const iovec& piece : pieces) {
    const size_t take = std::min(piece.iov_len, kRecord - used);
    std::memcpy(record + used, piece.iov_base, take);
    used += take;
    if (used == kRecord) break;
  }
  return write(record, used);
}

void FdStream::shutdown_send() {
  if (ssl_ && !broken_ && SSL_is_init_finished(ssl_)) {
    ERR_clear_error();
    SSL_shutdown(ssl_);
    ERR_clear_error();
  }
  ::shutdown(fd_, SHUT_WR);
}

}  // namespace raymesh::net
