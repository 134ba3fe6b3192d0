// Who is believed between processes: the name in full, in the right place, of the authority, in
// time, and for the right end.
#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <sys/socket.h>

#include <cstdlib>
#include <filesystem>
#include <string>

#include "libs/net/fd_stream.hpp"
#include "libs/net/tls_context.hpp"
#include "libs/net/unique_fd.hpp"

namespace raymesh::net {
namespace {

struct Certificate {
  std::string common_name = "x";
  std::string alternative = "DNS:storage.raymesh";
  std::string usage = "serverAuth,clientAuth";
  long valid_for = 3600;  // s
};

class MeshTlsTest : public testing::Test {
 protected:
  MeshTlsTest() {
    char name[] = "/tmp/raymesh-mesh-XXXXXX";
    folder_ = mkdtemp(name);
    write("client", {.alternative = "DNS:gateway.raymesh"});
  }
  ~MeshTlsTest() override { std::filesystem::remove_all(folder_); }

  // Self-signed, so it is its own authority.
  void write(const std::string& name, const Certificate& wanted) {
    EVP_PKEY* key = EVP_EC_gen("P-256");
    X509* cert = X509_new();
    X509_set_version(cert, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
    X509_gmtime_adj(X509_getm_notBefore(cert), -7200);
    X509_gmtime_adj(X509_getm_notAfter(cert), wanted.valid_for);
    X509_set_pubkey(cert, key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC,
                               reinterpret_cast<const unsigned char*>(wanted.common_name.c_str()),
                               -1, -1, 0);
    X509_set_issuer_name(cert, X509_get_subject_name(cert));
    const auto extend = [&](int id, const std::string& value) {
      if (value.empty()) return;
      X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, nullptr, id, value.c_str());
      X509_add_ext(cert, extension, -1);
      X509_EXTENSION_free(extension);
    };
    extend(NID_subject_alt_name, wanted.alternative);
    extend(NID_ext_key_usage, wanted.usage);
    X509_sign(cert, key, EVP_sha256());
    FILE* f = std::fopen(path(name + ".pem").c_str(), "w");
    PEM_write_X509(f, cert);
    std::fclose(f);
    f = std::fopen(path(name + "-key.pem").c_str(), "w");
    PEM_write_PrivateKey(f, key, nullptr, nullptr, 0, nullptr, nullptr);
    std::fclose(f);
    X509_free(cert);
    EVP_PKEY_free(key);
  }
  std::string path(const std::string& file) const { return folder_ + "/" + file; }

  std::shared_ptr<TlsContext> load(const std::string& name, const std::string& authority,
                                   TlsContext::Role role) const {
    auto context = TlsContext::load(
        {path(name + ".pem"), path(name + "-key.pem"), path(authority + ".pem")}, role);
    EXPECT_TRUE(context.ok());
    return *context;
  }

  // Whether both ends are content: the server's word comes after the client's.
  bool shake_hands(const std::string& server_authority = "client",
                   const std::string& client_authority = "server") const {
    const auto server = load("server", server_authority, TlsContext::Role::kMeshServer);
    const auto client = load("client", client_authority, TlsContext::Role::kMeshClient);
    int ends[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
    const UniqueFd a(ends[0]), b(ends[1]);
    FdStream left(a.get(), server->new_session(a.get()));
    FdStream right(b.get(), client->new_session(b.get(), "storage.raymesh"));
    IoState said = IoState::kWantRead, heard = IoState::kWantRead;
    while (said == IoState::kWantRead || heard == IoState::kWantRead) {
      if (heard == IoState::kWantRead) heard = right.handshake().state;
      if (said == IoState::kWantRead) said = left.handshake().state;
      if (said == IoState::kFailed || heard == IoState::kFailed) return false;
    }
    return said == IoState::kDone && heard == IoState::kDone;
  }

  std::string folder_;
};

TEST_F(MeshTlsTest, TheRightNameOfTheAuthorityIsBelieved) {
  write("server", {});
  EXPECT_TRUE(shake_hands());
}

TEST_F(MeshTlsTest, AnotherNameIsNot) {
  for (const char* names : {"DNS:cache.raymesh", "DNS:storage.raymesh.example", "DNS:*.raymesh",
                            "DNS:x.storage.raymesh", "email:storage@raymesh"}) {
    write("server", {.alternative = names});
    EXPECT_FALSE(shake_hands()) << names;
  }
}

// RFC 6125 section 6.4.4 leaves it to the caller; a certificate of ours says who it is in one
// place.
TEST_F(MeshTlsTest, TheSubjectIsNoName) {
  write("server", {.common_name = "storage.raymesh", .alternative = ""});
  EXPECT_FALSE(shake_hands());
}

TEST_F(MeshTlsTest, AnotherAuthorityIsNot) {
  write("server", {});
  write("other", {});
  EXPECT_FALSE(shake_hands("client", "other"));
  EXPECT_FALSE(shake_hands("other", "server"));
}

TEST_F(MeshTlsTest, AnExpiredCertificateIsNotOfEitherEnd) {
  write("server", {.valid_for = -3600});
  EXPECT_FALSE(shake_hands());
  write("server", {});
  write("client", {.valid_for = -3600});
  EXPECT_FALSE(shake_hands());
}

TEST_F(MeshTlsTest, ACertificateForTheOtherEndIsNot) {
  write("server", {.usage = "clientAuth"});
  EXPECT_FALSE(shake_hands());
  write("server", {.usage = "serverAuth"});
  EXPECT_TRUE(shake_hands());
  write("client", {.usage = "serverAuth"});
  EXPECT_FALSE(shake_hands());
}

}  // namespace
}  // namespace raymesh::net
