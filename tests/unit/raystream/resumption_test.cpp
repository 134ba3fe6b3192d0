#include <gtest/gtest.h>

#include "libs/base/encoding.hpp"
#include "raymesh/raystream/v1/raystream.pb.h"
#include "tests/unit/raystream/pair.hpp"

namespace raymesh::raystream {
namespace {

Resumption keep(const Session& session) {
  return {std::string(session.id()), crypto::Secret(session.resumption_secret())};
}

std::string resuming_init(const Pair& pair, const Resumption& resume) {
  OutgoingBuffer out;
  ClientHandshake client(pair.options());
  client.start(&resume, out);
  return take(out);
}

TEST(ResumptionTest, GoesOnUnderTheSameIdWithOtherKeys) {
  Pair pair;
  pair.connect();
  const Resumption resume = keep(pair.client);
  const std::string secret(resume.secret.view());
  pair.connect(pair.options(), &resume);
  EXPECT_EQ(pair.client.id(), kTestSessionId);
  EXPECT_EQ(pair.client.phase(), Phase::kResuming);
  EXPECT_EQ(pair.server.phase(), Phase::kResuming);
  EXPECT_EQ(pair.client.resumption_secret(), pair.server.resumption_secret());
  EXPECT_NE(pair.client.resumption_secret(), secret);

  expect_passes(pair.client, pair.server, FrameType::kResume, "positions");
  EXPECT_EQ(pair.client.phase(), Phase::kResumePending);
  EXPECT_EQ(pair.server.phase(), Phase::kResumePending);
  expect_passes(pair.server, pair.client, FrameType::kResume, "answer");
  EXPECT_EQ(pair.client.phase(), Phase::kAttached);
  EXPECT_EQ(pair.server.phase(), Phase::kAttached);
  expect_passes(pair.server, pair.client, FrameType::kEvent);
  expect_passes(pair.client, pair.server, FrameType::kRpcCall);
}

TEST(ResumptionTest, AServerThatDoesNotKnowTheSessionMakesANewOne) {
  Pair pair;
  pair.connect();
  const Resumption resume = keep(pair.client);
  OutgoingBuffer out;
  ClientHandshake client(pair.options());
  client.start(&resume, out);
  ServerHandshake server;
  ASSERT_FALSE(server.read(take(out)));
  EXPECT_EQ(server.resume_id(), kTestSessionId);
  const std::string id = new_session_id(kTestExpiry);
  Session server_session;
  Session client_session;
  ASSERT_FALSE(server.accept(pair.keys, {.session_id = id}, out, server_session));
  ASSERT_FALSE(client.read(take(out), client_session));
  EXPECT_FALSE(client.resumed());
  EXPECT_EQ(client_session.id(), id);
  EXPECT_EQ(client_session.phase(), Phase::kOpen);
  expect_passes(client_session, server_session, FrameType::kRpcCall);
}

TEST(ResumptionTest, ABinderProvesTheSecretAndConsumesNothing) {
  Pair pair;
  pair.connect();
  const Resumption resume = keep(pair.client);
  ServerHandshake server;
  ASSERT_FALSE(server.read(resuming_init(pair, resume)));
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(server.binder_fits(resume.secret.view()));
    EXPECT_FALSE(server.binder_fits(std::string(32, 's')));
    EXPECT_FALSE(server.binder_fits(""));
    EXPECT_FALSE(server.binder_fits(resume.secret.view().substr(1)));
  }
  Session session;
  OutgoingBuffer out;
  EXPECT_FALSE(
      server.accept(pair.keys, {kTestSessionId, resume.secret.view(), kTestExpiry}, out, session));
}

TEST(ResumptionTest, AForgedBinderBurnsNothing) {
  Pair pair;
  pair.connect();
  const Resumption resume = keep(pair.client);
  const Resumption guess{kTestSessionId, crypto::Secret(std::string(32, 'g'))};
  ServerHandshake forged;
  ASSERT_FALSE(forged.read(resuming_init(pair, guess)));
  EXPECT_FALSE(forged.binder_fits(resume.secret.view()));
  OutgoingBuffer out;
  Session session;
  EXPECT_EQ(
      forged.accept(pair.keys, {kTestSessionId, resume.secret.view(), kTestExpiry}, out, session)
          .code,
      ErrorCode::kInternalError);
  EXPECT_TRUE(out.empty());
  EXPECT_TRUE(session.closed());
  // The owner of the session resumes it as if nothing had been.
  pair.connect(pair.options(), &resume);
}

// A recorded INIT proves nothing but that it was sent once: whoever repeats it has no keys.
TEST(ResumptionTest, ARepeatedInitGivesItsSenderNothing) {
  Pair pair;
  pair.connect();
  const Resumption resume = keep(pair.client);
  pair.connect(pair.options(), &resume);
  ServerHandshake again;
  ASSERT_FALSE(again.read(pair.init));
  EXPECT_TRUE(again.binder_fits(resume.secret.view()));
  OutgoingBuffer out;
  Session second;
  ASSERT_FALSE(
      again.accept(pair.keys, {kTestSessionId, resume.secret.view(), kTestExpiry}, out, second));
  EXPECT_NE(second.resumption_secret(), pair.server.resumption_secret());
  // Its owner's frames, which the attacker has recorded, too, do not open here.
  EXPECT_EQ(open(second, seal(pair.client, FrameType::kResume)).code, ErrorCode::kDecryptionFailed);
}

TEST(ResumptionTest, TheBinderCoversHeaderAndOffer) {
  Pair pair;
  pair.connect();
  const Resumption resume = keep(pair.client);
  const std::string good = resuming_init(pair, resume);
  size_t read = 0;
  for (size_t bit_index = 0; bit_index < good.size() * 8; ++bit_index) {
    std::string changed = good;
    changed[bit_index / 8] = static_cast<char>(changed[bit_index / 8] ^ (1 << bit_index % 8));
    ServerHandshake server;
    if (server.read(changed)) continue;
    ++read;
    EXPECT_FALSE(server.binder_fits(resume.secret.view())) << bit_index;
  }
  EXPECT_GT(read, 32u * 8);  // at least client_pub and the binder itself
}

TEST(ResumptionTest, ABinderOfAnotherSessionDoesNotFit) {
  Pair first;
  Pair second;
  first.connect();
  second.connect();
  ServerHandshake server;
  ASSERT_FALSE(server.read(resuming_init(first, keep(first.client))));
  EXPECT_FALSE(server.binder_fits(second.server.resumption_secret()));
}

// The secret alone, without the ephemeral keys, opens nothing that was or will be sent.
TEST(ResumptionTest, TheOldSecretDoesNotOpenTheNewSession) {
  Pair pair;
  pair.connect();
  const Resumption resume = keep(pair.client);
  Pair thief;
  thief.keys = std::move(pair.keys);
  thief.connect(thief.options(), &resume);
  pair.keys = std::move(thief.keys);
  pair.connect(pair.options(), &resume);
  const std::string frame = seal(pair.client, FrameType::kResume);
  EXPECT_EQ(open(thief.server, frame).code, ErrorCode::kDecryptionFailed);
}

// "Resumed" with another id, and "not resumed" with the same one, both well signed.
TEST(ResumptionTest, ASignedHelloCannotConfuseNewAndResumed) {
  Pair pair;
  pair.connect();
  const Resumption resume = keep(pair.client);
  for (const bool resumed : {true, false}) {
    OutgoingBuffer out;
    ClientHandshake client(pair.options());
    client.start(&resume, out);
    const std::string init = take(out);
    crypto::Secret32 ephemeral;
    crypto::X25519PublicKey server_public;
    crypto::x25519_generate(ephemeral, server_public);
    v1::Hello hello;
    hello.set_version(1);
    hello.set_server_pub(server_public.data(), 32);
    hello.set_session_id(resumed ? new_session_id(kTestExpiry) : kTestSessionId);
    hello.set_selected_cipher("chacha20-poly1305");
    hello.set_server_key_id("test");
    hello.set_resumed(resumed);
    v1::HandshakeResponse response;
    response.set_hello(hello.SerializeAsString());
    crypto::Sha256 hash;
    const auto text = text_to_sign(finish(hash.update(init).update(response.hello())));
    crypto::Ed25519Signature signature;
    pair.keys.signing("test").key.sign({text.data(), text.size()}, signature);
    response.set_signature(signature.data(), signature.size());
    (void)append_plain_frame(FrameType::kHandshakeResponse, response.SerializeAsString(), out);
    Session session;
    EXPECT_EQ(client.read(take(out), session).code, ErrorCode::kInvalidRequest) << resumed;
  }
}

}  // namespace
}  // namespace raymesh::raystream
