// Non-blocking reads and writes on a connected socket, plain or TLS: what ByteStream and the
// realtime shards share. A plain stream is ::recv and ::send with nothing in between and holds no
// buffers; a TLS stream lets OpenSSL use the socket itself. The descriptor belongs to the caller.
// Used by one thread at a time.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <span>
#include <string>
#include <vector>

struct ssl_st;

namespace raymesh::net {

class TlsContext;

enum class IoState {
  kDone,       // bytes were moved (for a handshake: it is finished)
  kWantRead,   // wait until it is readable, then the same call again
  kWantWrite,  // wait until it is writable, then the same call again
  kEnd,        // the peer closed its side
  kFailed,     // the connection is broken
};

struct IoResult {
  IoState state;
  size_t bytes = 0;  // more than 0 only with kDone
};

class FdStream {
 public:
  /// RFC 8446 section 5.1: the largest plaintext of a TLS record. A write that has to wait has
  /// promised as much of its bytes at most.
  static constexpr size_t kRecord = 16u << 10;

  /// Plain, or TLS in the server's role when `tls` is given. `fd` must be non-blocking.
  FdStream(int fd, TlsContext* tls);
  /// TLS with a session of TlsContext::new_session, which is freed with the stream; plain when it
  /// is nullptr.
  FdStream(int fd, ssl_st* session) : fd_(fd), ssl_(session) {}
  /// The other one is broken from then on.
  FdStream(FdStream&& other) noexcept;
  ~FdStream();
  FdStream(const FdStream&) = delete;
  FdStream& operator=(const FdStream&) = delete;

  bool is_tls() const { return ssl_ != nullptr; }

  /// Repeat until kDone before anything is read or written; kDone at once for a plain stream.
  IoResult handshake();
  /// May return less than fits. A TLS stream must be read until kWantRead before it waits, because
  /// what OpenSSL has buffered does not make the socket readable.
  IoResult read(void* data, size_t size);
  /// True when the peer has closed its side, or the connection is broken, and nothing is left to
  /// read. Takes nothing away. For a session that does not read now but wants to know.
  bool at_end();
  /// May take less than all. On kWantRead or kWantWrite a TLS stream must be given the same bytes
  /// again at the front (at any address, and there may be more of them).
  IoResult write(const void* data, size_t size);
  /// The same for several pieces: one sendmsg, or one TLS record of up to 16 KiB.
  IoResult write(std::span<const iovec> pieces);
  /// Says that nothing more will be sent (TLS close_notify, FIN); reading goes on.
  void shutdown_send();
  /// True when a TLS stream holds bytes that it has read from the socket already: waiting until the
  /// socket is readable would be too long.
  bool has_pending() const;
  /// The DNS names of the certificate that the peer has shown, after the handshake.
  std::vector<std::string> peer_names() const;
  /// Why the handshake failed, for people; empty when there is nothing to say.
  const std::string& failure() const { return failure_; }
  /// After the descriptor was closed: everything fails.
  void invalidate() { broken_ = true; }

 private:
  IoResult tls_result(int result);
  void note_failure();

  int fd_;
  bool broken_ = false;
  ssl_st* ssl_ = nullptr;
  std::string failure_;
};

}  // namespace raymesh::net
