#include "libs/net/tls_context.hpp"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
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

// RFC 7301: the one protocol that an end speaks, as ALPN writes it. A client that offers others
// alone goes on without ALPN.
constexpr std::string_view kHttp11 = "\x08http/1.1";
constexpr std::string_view kHttp2 = "\x02h2";

int select_protocol(SSL*, const unsigned char** out, unsigned char* out_length,
                    const unsigned char* in, unsigned int in_length, void* protocol) {
  const auto& ours = *static_cast<const std::string_view*>(protocol);
  unsigned char* chosen = nullptr;
  if (SSL_select_next_proto(
          &chosen, out_length, reinterpret_cast<const unsigned char*>(ours.data()),
          static_cast<unsigned>(ours.size()), in, in_length) != OPENSSL_NPN_NEGOTIATED)
    return SSL_TLSEXT_ERR_NOACK;
  *out = chosen;
  return SSL_TLSEXT_ERR_OK;
}

// Records inside the cluster come many at a time: one read takes what there is.
constexpr size_t kMeshReadAhead = 64 << 10;

int64_t steady_now() {
  return std::chrono::steady_clock::now().time_since_epoch() / std::chrono::nanoseconds(1);
}

}  // namespace

TlsContext::TlsContext(Files files, Role role) : files_(std::move(files)), role_(role) {}
TlsContext::~TlsContext() = default;

Result<std::shared_ptr<TlsContext>> TlsContext::load(std::string certificate_file,
                                                     std::string key_file) {
  return load({std::move(certificate_file), std::move(key_file), {}}, Role::kPublicServer);
}

Result<std::shared_ptr<TlsContext>> TlsContext::load(Files files, Role role) {
  // OpenSSL writes to sockets with write(2), which has no MSG_NOSIGNAL.
  std::signal(SIGPIPE, SIG_IGN);
  std::shared_ptr<TlsContext> context(new TlsContext(std::move(files), role));
  context->seen_ = context->version_on_disk();
  RAYMESH_TRY(context->current_, context->read_files());
  context->next_check_ = steady_now() + std::chrono::nanoseconds(kCheckInterval).count();
  return context;
}

TlsContext::Version TlsContext::version_on_disk() const {
  const auto look = [](const std::string& path) {
    Version::File file;
    struct stat s {};
    if (!path.empty() && ::stat(path.c_str(), &s) == 0) {
      file.time = s.st_mtim.tv_sec * 1'000'000'000 + s.st_mtim.tv_nsec;
      file.inode = s.st_ino;
    }
    return file;
  };
  return {look(files_.certificate), look(files_.key), look(files_.authority)};
}

Result<std::shared_ptr<ssl_ctx_st>> TlsContext::read_files() const {
  const bool mesh = role_ != Role::kPublicServer;
  std::shared_ptr<ssl_ctx_st> context(
      SSL_CTX_new(role_ == Role::kMeshClient ? TLS_client_method() : TLS_server_method()),
      SSL_CTX_free);
  if (!context) return Error(errors::kInternal, "OpenSSL: " + last_openssl_error());
  SSL_CTX* c = context.get();
  SSL_CTX_set_min_proto_version(c, TLS1_2_VERSION);
  // Forward secrecy and authenticated encryption only (RFC 9325 section 4.2); TLS 1.3 has no other.
  SSL_CTX_set_cipher_list(c, "ECDHE+AESGCM:ECDHE+CHACHA20");
  SSL_CTX_set_options(c, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
                             SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_IGNORE_UNEXPECTED_EOF);
  // A write may be taken in part and goes on from where its queue's memory is then.
  SSL_CTX_set_mode(c, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  if (mesh) {
    // Few connections that live long and carry much.
    SSL_CTX_set_read_ahead(c, 1);
    SSL_CTX_set_default_read_buffer_len(c, kMeshReadAhead);
    // Each connection proves itself anew, with the certificates of that moment.
    SSL_CTX_set_options(c, SSL_OP_NO_TICKET);
    SSL_CTX_set_num_tickets(c, 0);
    SSL_CTX_set_session_cache_mode(c, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_verify(c, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  } else {
    // An idle connection gives its 34 KB of buffers back.
    SSL_CTX_set_mode(c, SSL_MODE_RELEASE_BUFFERS);
  }
  const std::string_view& protocol = mesh ? kHttp2 : kHttp11;
  if (role_ == Role::kMeshClient)
    SSL_CTX_set_alpn_protos(c, reinterpret_cast<const unsigned char*>(protocol.data()),
                            static_cast<unsigned>(protocol.size()));
  else
    SSL_CTX_set_alpn_select_cb(c, select_protocol, const_cast<std::string_view*>(&protocol));
  auto failed = [](const std::string& file) {
    return Error(errors::kInvalidRequest, "cannot use " + file + ": " + last_openssl_error());
  };
  if (SSL_CTX_use_certificate_chain_file(c, files_.certificate.c_str()) != 1)
    return failed(files_.certificate);
  if (SSL_CTX_use_PrivateKey_file(c, files_.key.c_str(), SSL_FILETYPE_PEM) != 1)
    return failed(files_.key);
  if (SSL_CTX_check_private_key(c) != 1)
    return Error(errors::kInvalidRequest, files_.certificate + " and " + files_.key +
                                              " do not belong together: " + last_openssl_error());
  if (mesh && SSL_CTX_load_verify_locations(c, files_.authority.c_str(), nullptr) != 1)
    return failed(files_.authority);
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
  log::info("TLS certificate loaded again", {{"file", files_.certificate}});
}

ssl_st* TlsContext::new_session(int fd, const std::string& expected_name) {
  const int64_t now = steady_now();
  int64_t next = next_check_.load(std::memory_order_relaxed);
  if (now >= next && next_check_.compare_exchange_strong(
                         next, now + std::chrono::nanoseconds(kCheckInterval).count()))
    check_files();
  std::lock_guard lock(mutex_);
  SSL* session = SSL_new(current_.get());
  if (!session) return nullptr;
  bool good = SSL_set_fd(session, fd) == 1;
  if (role_ == Role::kMeshClient) {
    SSL_set_connect_state(session);
    // The name in full, and where names belong: not "*.raymesh", not the subject's common name.
    SSL_set_hostflags(session, X509_CHECK_FLAG_NO_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
    good = good && !expected_name.empty() &&
           SSL_set_tlsext_host_name(session, expected_name.c_str()) == 1 &&
           SSL_set1_host(session, expected_name.c_str()) == 1;
  } else {
    SSL_set_accept_state(session);
  }
  if (good) return session;
  SSL_free(session);
  return nullptr;
}

}  // namespace raymesh::net
