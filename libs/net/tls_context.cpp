#include "libs/net/tls_context.hpp"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/stat.h>

#include <csignal>

#include "libs/telemetry/log.hpp"

namespace raymesh::net {
namespace {

std::string last_openssl_error() {
  const unsigned long code = ERR_get_error();
  ERR_clear_error();
  if (code == 0) return "unknown reason";
  const char* reason = ERR_reason_error_string(code);
  return reason ? reason : "error " + std::to_string(code);
}

// RFC 7301: the only protocol we speak. A client that offers others alone goes on without ALPN.
int select_protocol(SSL*, const unsigned char** out, unsigned char* out_length,
                    const unsigned char* in, unsigned int in_length, void*) {
  static constexpr unsigned char kHttp11[] = "\x08http/1.1";
  unsigned char* chosen = nullptr;
  if (SSL_select_next_proto(&chosen, out_length, kHttp11, sizeof kHttp11 - 1, in, in_length) !=
      OPENSSL_NPN_NEGOTIATED)
    return SSL_TLSEXT_ERR_NOACK;
  *out = chosen;
  return SSL_TLSEXT_ERR_OK;
}

int64_t steady_now() {
  return std::chrono::steady_clock::now().time_since_epoch() / std::chrono::nanoseconds(1);
}

}  // namespace

TlsContext::TlsContext(std::string certificate_file, std::string key_file)
    : certificate_file_(std::move(certificate_file)), key_file_(std::move(key_file)) {}
TlsContext::~TlsContext() = default;

Result<std::shared_ptr<TlsContext>> TlsContext::load(std::string certificate_file,
                                                     std::string key_file) {
  // OpenSSL writes to sockets with write(2), which has no MSG_NOSIGNAL.
  std::signal(SIGPIPE, SIG_IGN);
  std::shared_ptr<TlsContext> context(
      new TlsContext(std::move(certificate_file), std::move(key_file)));
  context->seen_ = context->version_on_disk();
  RAYMESH_TRY(context->current_, context->read_files());
  context->next_check_ = steady_now() + std::chrono::nanoseconds(kCheckInterval).count();
  return context;
}

TlsContext::Version TlsContext::version_on_disk() const {
  Version v;
  struct stat s {};
  if (::stat(certificate_file_.c_str(), &s) == 0) {
    v.certificate_time = s.st_mtim.tv_sec * 1'000'000'000 + s.st_mtim.tv_nsec;
    v.certificate_inode = s.st_ino;
  }
  if (::stat(key_file_.c_str(), &s) == 0) {
    v.key_time = s.st_mtim.tv_sec * 1'000'000'000 + s.st_mtim.tv_nsec;
    v.key_inode = s.st_ino;
  }
  return v;
}

Result<std::shared_ptr<ssl_ctx_st>> TlsContext::read_files() const {
  std::shared_ptr<ssl_ctx_st> context(SSL_CTX_new(TLS_server_method()), SSL_CTX_free);
  if (!context) return Error(errors::kInternal, "OpenSSL: " + last_openssl_error());
  SSL_CTX* c = context.get();
  SSL_CTX_set_min_proto_version(c, TLS1_2_VERSION);
  // Forward secrecy and authenticated encryption only (RFC 9325 section 4.2); TLS 1.3 has no other.
  SSL_CTX_set_cipher_list(c, "ECDHE+AESGCM:ECDHE+CHACHA20");
  SSL_CTX_set_options(c, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
                             SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_IGNORE_UNEXPECTED_EOF);
  // An idle connection gives its 34 KB of buffers back; a write may be taken in part and goes on
  // from where its queue's memory is then.
  SSL_CTX_set_mode(c, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                          SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_alpn_select_cb(c, select_protocol, nullptr);
  auto failed = [](const std::string& file) {
    return Error(errors::kInvalidRequest, "cannot use " + file + ": " + last_openssl_error());
  };
  if (SSL_CTX_use_certificate_chain_file(c, certificate_file_.c_str()) != 1)
    return failed(certificate_file_);
  if (SSL_CTX_use_PrivateKey_file(c, key_file_.c_str(), SSL_FILETYPE_PEM) != 1)
    return failed(key_file_);
  if (SSL_CTX_check_private_key(c) != 1)
    return Error(errors::kInvalidRequest, certificate_file_ + " and " + key_file_ +
                                              " do not belong together: " + last_openssl_error());
  return context;
}

void TlsContext::check_files() {
  std::lock_guard lock(mutex_);
  const Version version = version_on_disk();
  if (version == seen_) return;
  seen_ = version;
  auto context = read_files();
  if (!context.ok()) {
    log::error("the changed TLS files are not usable; the old certificate stays",
               {{"error", context.error().message}});
    return;
  }
  current_ = std::move(*context);
  log::info("TLS certificate loaded again", {{"file", certificate_file_}});
}

ssl_st* TlsContext::new_session(int fd) {
  const int64_t now = steady_now();
  int64_t next = next_check_.load(std::memory_order_relaxed);
  if (now >= next && next_check_.compare_exchange_strong(
                         next, now + std::chrono::nanoseconds(kCheckInterval).count()))
    check_files();
  std::lock_guard lock(mutex_);
  SSL* session = SSL_new(current_.get());
  if (!session) return nullptr;
  if (SSL_set_fd(session, fd) != 1) {
    SSL_free(session);
    return nullptr;
  }
  SSL_set_accept_state(session);
  return session;
}

}  // namespace raymesh::net
