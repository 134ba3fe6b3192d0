// One end's certificate for TLS 1.2 and newer, read from PEM files and read again when they change,
// so that a renewed certificate needs no restart: of a public port (HTTP/1.1 by ALPN), or of either
// end of a connection inside the cluster (HTTP/2, both ends show a certificate of one authority).
// New connections take the new one, old connections keep theirs. Thread-safe. Nothing polls: the
// files are looked at when a connection comes, at most once in `kCheckInterval`.
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

  enum class Role {
    kPublicServer,  // clients show no certificate
    kMeshServer,    // clients must show one of the authority
    kMeshClient,    // the server must show one of the authority with the expected name
  };
  struct Files {
    std::string certificate;  // PEM, the chain
    std::string key;          // PEM
    std::string authority;    // PEM; not for kPublicServer
  };

  /// Fails with a message that names the file and OpenSSL's reason.
  static Result<std::shared_ptr<TlsContext>> load(Files files, Role role);
  static Result<std::shared_ptr<TlsContext>> load(std::string certificate_file,
                                                  std::string key_file);
  ~TlsContext();

  /// A session for the connected socket `fd`; looks first whether the files have changed. A client
  /// asks for `expected_name`, and the server's certificate must have it as a DNS name. nullptr
  /// when OpenSSL is out of memory. Freed with SSL_free.
  ssl_st* new_session(int fd, const std::string& expected_name = {});

  /// Looks at the files now. When they do not load, the old certificate stays and the reason is
  /// logged, once for each change.
  void check_files();

 private:
  /// What tells one version of the files from another.
  struct Version {
    struct File {
      int64_t time = 0;  // ns
      uint64_t inode = 0;
      bool operator==(const File&) const = default;
    };
    File certificate, key, authority;
    bool operator==(const Version&) const = default;
  };

  TlsContext(Files files, Role role);
  Version version_on_disk() const;
  Result<std::shared_ptr<ssl_ctx_st>> read_files() const;

  const Files files_;
  const Role role_;
  std::atomic<int64_t> next_check_{0};  // steady clock, ns
  std::mutex mutex_;
  std::shared_ptr<ssl_ctx_st> current_;  // guarded by mutex_
  Version seen_;                         // guarded by mutex_: of the last attempt, good or bad
};

}  // namespace raymesh::net
