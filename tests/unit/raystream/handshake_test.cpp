#include <gtest/gtest.h>

#include "tests/unit/raystream/pair.hpp"

namespace raymesh::raystream {
namespace {

TEST(HandshakeTest, BothEndsGetTheSameSession) {
  Pair pair;
  pair.connect();
  EXPECT_EQ(pair.client.id(), kTestSessionId);
  EXPECT_EQ(pair.server.id(), kTestSessionId);
  EXPECT_EQ(pair.client.phase(), Phase::kOpen);
  EXPECT_EQ(pair.server.phase(), Phase::kOpen);
  EXPECT_EQ(pair.client.cipher(), Cipher::kChaCha20Poly1305);
  EXPECT_EQ(pair.client.resumption_secret(), pair.server.resumption_secret());
  EXPECT_EQ(pair.client.resumption_secret().size(), 32u);
  expect_passes(pair.client, pair.server, FrameType::kRpcCall);
  expect_passes(pair.server, pair.client, FrameType::kRpcResponse);
}

TEST(HandshakeTest, NoTwoSessionsHaveASecretInCommon) {
  Pair first;
  Pair second;
  first.connect();
  second.connect();
  EXPECT_NE(first.client.resumption_secret(), second.client.resumption_secret());
  EXPECT_NE(first.init, second.init);
}

TEST(HandshakeTest, TheServersOrderOfCiphersDecides) {
  Pair pair;
  pair.connect(
      {.pinned = {pin(pair.keys)}, .ciphers = {Cipher::kAes256Gcm, Cipher::kChaCha20Poly1305}});
  EXPECT_EQ(pair.server.cipher(), Cipher::kChaCha20Poly1305);
  pair.connect({.pinned = {pin(pair.keys)}, .ciphers = {Cipher::kAes256Gcm}});
  EXPECT_EQ(pair.server.cipher(), Cipher::kAes256Gcm);
  EXPECT_EQ(pair.client.cipher(), Cipher::kAes256Gcm);
  expect_passes(pair.client, pair.server, FrameType::kRpcCall, std::string(10'000, 'x'));
}

TEST(HandshakeTest, TheServerSignsWithTheKeyThatTheClientHasPinned) {
  Pair pair;
  pair.keys = make_keys({"new", "old"});
  pair.connect({.pinned = {pin(pair.keys, 1)}});
  pair.connect({.pinned = {pin(pair.keys, 0)}});
  // The wanted key is gone, the other pinned one is there.
  pair.connect({.pinned = {{"gone", {}}, pin(pair.keys, 0)}});
}

TEST(HandshakeTest, FramesStayBelowTheHandshakesLimit) {
  Pair pair;
  pair.connect();
  EXPECT_LT(pair.init.size(), 200u);
  EXPECT_LT(pair.response.size(), 300u);
}

TEST(HandshakeTest, AServerMayAnswerWithAPlainClose) {
  Pair pair;
  OutgoingBuffer out;
  ClientHandshake client(pair.options());
  client.start(nullptr, out);
  take(out);
  append_plain_close(ErrorCode::kRateLimited, "too many handshakes", out);
  Session session;
  EXPECT_EQ(client.read(take(out), session).code, ErrorCode::kRateLimited);
  ASSERT_NE(client.refused_by_server(), nullptr);
  EXPECT_EQ(client.refused_by_server()->reason, "too many handshakes");
  EXPECT_TRUE(session.closed());
}

TEST(HandshakeTest, ReasonsAreCutBetweenCharacters) {
  std::string reason(255, 'a');
  reason += "\xc3\xa4\xc3\xa4";
  EXPECT_EQ(read_close(close_payload(ErrorCode::kTimeout, reason)).reason, std::string(255, 'a'));
  EXPECT_EQ(read_close(close_payload(ErrorCode::kTimeout, "\xff")).reason, "");
  EXPECT_EQ(read_close(close_payload(ErrorCode::kTimeout, "late")).code, ErrorCode::kTimeout);
  EXPECT_EQ(read_close("\xff\xff").code, ErrorCode::kInvalidRequest);
  EXPECT_EQ(read_close("").code, ErrorCode::kNone);
}

TEST(HandshakeTest, EachStepIsTakenOnce) {
  Pair pair;
  OutgoingBuffer out;
  ClientHandshake client(pair.options());
  Session session;
  EXPECT_EQ(client.read("", session).code, ErrorCode::kInvalidRequest);
  client.start(nullptr, out);
  const std::string init = take(out);
  ServerHandshake server;
  const ServerHandshake::Terms terms{.session_id = kTestSessionId};
  EXPECT_EQ(server.accept(pair.keys, terms, out, session).code, ErrorCode::kInternalError);
  ASSERT_FALSE(server.read(init));
  ASSERT_FALSE(server.accept(pair.keys, terms, out, session));
  const std::string response = take(out);
  Session second;
  EXPECT_EQ(server.accept(pair.keys, terms, out, second).code, ErrorCode::kInternalError);
  EXPECT_TRUE(out.empty());
  ASSERT_FALSE(client.read(response, session));
  EXPECT_EQ(client.read(response, second).code, ErrorCode::kInvalidRequest);
  EXPECT_TRUE(second.closed());
}

TEST(HandshakeTest, ASecondInitEndsTheHandshake) {
  Pair pair;
  OutgoingBuffer out;
  ClientHandshake client(pair.options());
  client.start(nullptr, out);
  const std::string init = take(out);
  ServerHandshake server;
  ASSERT_FALSE(server.read(init));
  EXPECT_EQ(server.read(init).code, ErrorCode::kInvalidRequest);
  Session session;
  EXPECT_EQ(server.accept(pair.keys, {.session_id = kTestSessionId}, out, session).code,
            ErrorCode::kInternalError);
}

TEST(HandshakeTest, ARefusedInitIsTheOnlyOne) {
  Pair pair;
  OutgoingBuffer out;
  ClientHandshake client(pair.options());
  client.start(nullptr, out);
  const std::string init = take(out);
  ServerHandshake server;
  EXPECT_EQ(server.read(init + "x").code, ErrorCode::kInvalidRequest);
  EXPECT_EQ(server.read(init).code, ErrorCode::kInvalidRequest);
  Session session;
  EXPECT_EQ(server.accept(pair.keys, {.session_id = kTestSessionId}, out, session).code,
            ErrorCode::kInternalError);
}

TEST(HandshakeTest, TermsThatContradictTheOfferAreADefect) {
  Pair pair;
  OutgoingBuffer out;
  ClientHandshake client(pair.options());
  client.start(nullptr, out);
  ServerHandshake server;
  ASSERT_FALSE(server.read(take(out)));
  const std::string secret(32, 's');
  Session session;
  for (const ServerHandshake::Terms& terms :
       {ServerHandshake::Terms{.session_id = "1"}, ServerHandshake::Terms{.session_id = ""},
        ServerHandshake::Terms{.session_id = kTestSessionId, .resumption_secret = secret}})
    EXPECT_EQ(server.accept(pair.keys, terms, out, session).code, ErrorCode::kInternalError);
  EXPECT_TRUE(out.empty());
  EXPECT_TRUE(session.closed());
}

}  // namespace
}  // namespace raymesh::raystream
