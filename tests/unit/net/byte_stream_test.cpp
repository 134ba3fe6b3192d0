#include "libs/net/byte_stream.hpp"

#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <sys/socket.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>

#include "libs/net/tls_context.hpp"

namespace raymesh::net {
namespace {

using boost::asio::ip::tcp;

// A self-signed certificate for `name` in two files of `folder`.
void write_certificate(const std::filesystem::path& folder, const std::string& name) {
  EVP_PKEY* key = EVP_EC_gen("P-256");
  X509* cert = X509_new();
  ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
  X509_gmtime_adj(X509_getm_notBefore(cert), 0);
  X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
  X509_set_pubkey(cert, key);
  X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>(name.c_str()), -1, -1, 0);
  X509_set_issuer_name(cert, X509_get_subject_name(cert));
  X509_sign(cert, key, EVP_sha256());
  FILE* f = std::fopen((folder / "cert.pem").c_str(), "w");
  PEM_write_X509(f, cert);
  std::fclose(f);
  f = std::fopen((folder / "key.pem").c_str(), "w");
  PEM_write_PrivateKey(f, key, nullptr, nullptr, 0, nullptr, nullptr);
  std::fclose(f);
  X509_free(cert);
  EVP_PKEY_free(key);
}

struct ByteStreamTest : ::testing::Test {
  std::filesystem::path folder;
  boost::asio::io_context io;
  tcp::acceptor acceptor{io, tcp::endpoint(boost::asio::ip::make_address("127.0.0.1"), 0)};

  void SetUp() override {
    char name[] = "/tmp/raymesh-tls-XXXXXX";
    folder = ::mkdtemp(name);
    write_certificate(folder, "first.test");
  }
  void TearDown() override { std::filesystem::remove_all(folder); }

  std::shared_ptr<TlsContext> context() {
    auto c = TlsContext::load(folder / "cert.pem", folder / "key.pem");
    EXPECT_TRUE(c.ok()) << (c.ok() ? "" : c.error().message);
    return *c;
  }

  // Connects, and serves one request on the other end: reads to the client's "\n", answers
  // `answer`. Returns what the client saw and the certificate's name.
  struct Seen {
    bool connected = false;
    std::string received, name, version, alpn;
  };
  Seen talk(TlsContext& tls, const std::string& answer, int max_version = TLS1_3_VERSION) {
    Seen seen;
    std::thread client([&] {
      boost::asio::io_context client_io;
      tcp::socket s(client_io);
      s.connect(acceptor.local_endpoint());
      SSL_CTX* c = SSL_CTX_new(TLS_client_method());
      SSL_CTX_set_max_proto_version(c, max_version);
      SSL_CTX_set_cipher_list(c, "ALL:@SECLEVEL=0");
      SSL_CTX_set_alpn_protos(c, reinterpret_cast<const unsigned char*>("\x02h2\x08http/1.1"), 12);
      SSL* ssl = SSL_new(c);
      SSL_set_fd(ssl, s.native_handle());
      if (SSL_connect(ssl) == 1) {
        seen.connected = true;
        seen.version = SSL_get_version(ssl);
        const unsigned char* alpn = nullptr;
        unsigned length = 0;
        SSL_get0_alpn_selected(ssl, &alpn, &length);
        if (alpn) seen.alpn.assign(reinterpret_cast<const char*>(alpn), length);
        X509* cert = SSL_get1_peer_certificate(ssl);
        char name[64];
        X509_NAME_get_text_by_NID(X509_get_subject_name(cert), NID_commonName, name, sizeof name);
        seen.name = name;
        X509_free(cert);
        SSL_write(ssl, "hello\n", 6);
        char buffer[4096];
        for (int n; (n = SSL_read(ssl, buffer, sizeof buffer)) > 0;)
          seen.received.append(buffer, static_cast<size_t>(n));
      }
      SSL_free(ssl);
      SSL_CTX_free(c);
    });
    tcp::socket socket = acceptor.accept();
    socket.non_blocking(true);
    ByteStream stream(std::move(socket), &tls);
    EXPECT_TRUE(stream.is_tls());
    auto wait = [&](IoState state) {
      auto handler = [](boost::system::error_code) {};
      state == IoState::kWantRead ? stream.wait_readable(handler) : stream.wait_writable(handler);
      io.restart();
      io.run();
    };
    auto until_done = [&](auto step) {
      for (;;) {
        const IoResult r = step();
        if (r.state == IoState::kWantRead || r.state == IoState::kWantWrite)
          wait(r.state);
        else
          return r;
      }
    };
    if (until_done([&] { return stream.handshake(); }).state == IoState::kDone) {
      char line[64];
      const IoResult got = until_done([&] { return stream.read(line, sizeof line); });
      EXPECT_EQ(std::string(line, got.bytes), "hello\n");
      size_t sent = 0;
      while (sent < answer.size()) {
        const size_t left = answer.size() - sent;
        const iovec pieces[2] = {
            {const_cast<char*>(answer.data()) + sent, left / 2},
            {const_cast<char*>(answer.data()) + sent + left / 2, left - left / 2}};
        const IoResult r = until_done([&] { return stream.write(pieces); });
        if (r.state != IoState::kDone) break;
        sent += r.bytes;
      }
      EXPECT_EQ(sent, answer.size());
      stream.shutdown_send();
    }
    stream.close();
    client.join();
    return seen;
  }
};

TEST_F(ByteStreamTest, PlainStreamMovesBytesAndSeesTheEnd) {
  tcp::socket client(io);
  client.connect(acceptor.local_endpoint());
  tcp::socket socket = acceptor.accept();
  socket.non_blocking(true);
  ByteStream stream(std::move(socket), nullptr);
  EXPECT_EQ(stream.handshake().state, IoState::kDone);
  char buffer[16];
  EXPECT_EQ(stream.read(buffer, sizeof buffer).state, IoState::kWantRead);
  const iovec pieces[2] = {{const_cast<char*>("ab"), 2}, {const_cast<char*>("cd"), 2}};
  EXPECT_EQ(stream.write(pieces).bytes, 4u);
  EXPECT_EQ(::recv(client.native_handle(), buffer, 4, MSG_WAITALL), 4);
  EXPECT_EQ(std::string(buffer, 4), "abcd");
  client.close();
  stream.wait_readable([](boost::system::error_code) {});
  io.run();
  EXPECT_EQ(stream.read(buffer, sizeof buffer).state, IoState::kEnd);
}

TEST_F(ByteStreamTest, PlainWriteSaysWhenTheSocketIsFull) {
  tcp::socket client(io);
  client.connect(acceptor.local_endpoint());
  tcp::socket socket = acceptor.accept();
  socket.non_blocking(true);
  ByteStream stream(std::move(socket), nullptr);
  const std::string chunk(1 << 20, 'x');
  IoResult r{IoState::kDone};
  for (int i = 0; i < 64 && r.state == IoState::kDone; ++i) r = stream.write(chunk.data(), 1 << 20);
  EXPECT_EQ(r.state, IoState::kWantWrite);
  client.close();
  do {
    stream.wait_writable([](boost::system::error_code) {});
    io.restart();
    io.run();
    r = stream.write(chunk.data(), 1 << 20);
  } while (r.state == IoState::kDone || r.state == IoState::kWantWrite);
  EXPECT_EQ(r.state, IoState::kFailed);
}

TEST_F(ByteStreamTest, TlsCarriesMoreThanTheSocketHolds) {
  auto tls = context();
  std::string answer(8 << 20, '\0');
  for (size_t i = 0; i < answer.size(); ++i) answer[i] = static_cast<char>(i * 31 >> 7);
  const Seen seen = talk(*tls, answer);
  ASSERT_TRUE(seen.connected);
  EXPECT_EQ(seen.version, "TLSv1.3");
  EXPECT_EQ(seen.alpn, "http/1.1");
  EXPECT_TRUE(seen.received == answer);
}

TEST_F(ByteStreamTest, TlsSpeaks12ButNotOlder) {
  auto tls = context();
  EXPECT_EQ(talk(*tls, "x", TLS1_2_VERSION).version, "TLSv1.2");
  EXPECT_FALSE(talk(*tls, "x", TLS1_1_VERSION).connected);
}

TEST_F(ByteStreamTest, TakesANewCertificateAndKeepsTheOldWhenItIsBad) {
  auto tls = context();
  EXPECT_EQ(talk(*tls, "x").name, "first.test");
  write_certificate(folder, "second.test");
  tls->check_files();
  EXPECT_EQ(talk(*tls, "x").name, "second.test");
  std::ofstream(folder / "cert.pem") << "not a certificate";
  tls->check_files();
  EXPECT_EQ(talk(*tls, "x").name, "second.test");
  std::filesystem::remove(folder / "key.pem");
  tls->check_files();
  EXPECT_EQ(talk(*tls, "x").name, "second.test");
  write_certificate(folder, "third.test");
  tls->check_files();
  EXPECT_EQ(talk(*tls, "x").name, "third.test");
}

TEST_F(ByteStreamTest, LoadNamesTheBadFile) {
  auto missing = TlsContext::load(folder / "none.pem", folder / "key.pem");
  ASSERT_FALSE(missing.ok());
  EXPECT_NE(missing.error().message.find("none.pem"), std::string::npos);
  std::filesystem::rename(folder / "key.pem", folder / "old-key.pem");
  write_certificate(folder, "other.test");
  auto mismatch = TlsContext::load(folder / "cert.pem", folder / "old-key.pem");
  ASSERT_FALSE(mismatch.ok());
}

TEST_F(ByteStreamTest, GarbageEndsAHandshake) {
  auto tls = context();
  tcp::socket client(io);
  client.connect(acceptor.local_endpoint());
  client.send(boost::asio::buffer("GET / HTTP/1.1\r\n\r\n", 18));
  tcp::socket socket = acceptor.accept();
  socket.non_blocking(true);
  ByteStream stream(std::move(socket), tls.get());
  IoResult r = stream.handshake();
  while (r.state == IoState::kWantRead) r = stream.handshake();
  EXPECT_EQ(r.state, IoState::kFailed);
  char buffer[8];
  EXPECT_EQ(stream.read(buffer, 8).state, IoState::kFailed);
  stream.shutdown_send();
}

}  // namespace
}  // namespace raymesh::net
