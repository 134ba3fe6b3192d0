// The certificate of a public port: TLS 1.2 and newer, HTTP/1.1 by ALPN, read from two PEM files
// and read again when they change, so that a renewed certificate needs no restart. New connections
// take the new one, old connections keep theirs. Thread-safe. Nothing polls: the files are looked
// at when a connection comes, at most once in `kCheckInterval`.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>

#include "libs/base/result.hpp"

struct ssl_ctx_st;
struct ssl_st;

namespace raymesh::net {

class TlsContext {
 public:
  static constexpr std::chrono::seconds kCheckInterval{2};

  /// Fails with a message that names the file and OpenSSL's reason.
  static Result<std::shared_ptr<TlsContext>> load(std::string certificate_file,
                                                  std::string key_file);
  ~TlsContext();

  /// A server session for the connected socket `fd`; looks first whether the files have changed.
  /// nullptr when OpenSSL is out of memory. Freed with SSL_free.
  ssl_st* new_session(int fd);

  /// Looks at the files now. When they do not load, the old certificate stays and the reason is
  /// logged, once for each change.
  void check_files();

 private:
  /// What tells one version of the two files from another.
  struct Version {
    int64_t certificate_time = 0, key_time = 0;  // ns
    uint64_t certificate_inode = 0, key_inode = 0;
    bool operator==(const Version&) const = default;
  };

  TlsContext(std::string certificate_file, std::string key_file);
  Version version_on_disk() const;
  Result<std::shared_ptr<ssl_ctx_st>> read_files() const;

  const std::string certificate_file_;
  const std::string key_file_;
  std::atomic<int64_t> next_check_{0};  // steady clock, ns
  std::mutex mutex_;
  std::shared_ptr<ssl_ctx_st> current_;  // guarded by mutex_
  Version seen_;                         // guarded by mutex_: of the last attempt, good or bad
};

}  // namespace raymesh::net
