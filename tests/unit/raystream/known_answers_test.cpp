// Byte for byte what docs/protocols/raystream.md shows under "Known answers". The values were
// computed by another implementation, in another language, from that page.
#include <gtest/gtest.h>

#include "libs/base/encoding.hpp"
#include "raymesh/raystream/v1/raystream.pb.h"
#include "tests/unit/raystream/pair.hpp"

namespace raymesh::raystream {
namespace {

std::string bytes(std::string_view hex) {
  return hex_decode(hex).value();
}

// RFC 7748 section 6.1.
constexpr char kAlice[] = "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a";
constexpr char kBob[] = "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb";
// RFC 8032 section 7.1, test 1.
constexpr char kSeed[] = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";

constexpr char kInit[] =
    "01010000000000000000004c000000000000000000000000000000000a4a080112208520f0098930a754"
    "748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a1a1163686163686132302d706f6c79313330"
    "351a0b6165732d3235362d67636d22047465737400000000000000000000000000000000";
constexpr char kResponse[] =
    "0102000000000000000000ae000000000000000000000000000000000a6a08011220de9edb7d7b7dc1b4"
    "d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f1a2430313866303030302d303030302d3730"
    "30302d383030302d303030303030303030303030221163686163686132302d706f6c79313330352880f8"
    "a5f9c1323204746573741240db0c1d4ed8fd091233d44f6607f6afd21397fef3a18907e63f1f3e4a21d9"
    "28f1a65240d34ada79a7d8a9252e6008a1147c916505e5b6648dc32fa1f3e24afa07984ca94c4cc2b353"
    "699eb7567b7818b0";
constexpr char kTranscript[] = "eaba49ac772a6ec2d24a26970decd591bdb3875e9a95c8b55532fa2e8dfc4766";
constexpr char kSessionKey[] = "a6e7c7f2e95b68a595513d8fa199cb4b61a7fcd47ba1187a7af95501e98065d2";
constexpr char kC2s[] = "c0f9bbd0773c2fc12005e8d106024f13822c3b65fe28851927352f2f9869253c";
constexpr char kS2c[] = "43877b3cddb12581ad8f5712ff9171d8f24f1bd85458f27918c51892fc65bcc8";
constexpr char kResumption[] = "e0e86e1e74f4a5daa393bf25a43a7fe7a28e2eb00e1c139aed614492bae4478c";
constexpr char kC2sKey[] = "f043b070152f8bb9809b0c233f5b8a0b9d51e1df8babb04325813f8fddb25ec5";
constexpr char kS2cKey[] = "dfcd09ce246c00d4881426013ba5bddd3ca088dfb772a25bf8c22614edf70734";
constexpr char kFrameC2s[] =
    "01300000000000010000000700000000000000000000000000000001eabb31eea977f91f040ad95a6685"
    "f85d2d05ebf1dba443";
constexpr char kFrameS2c[] =
    "01300000000000010000000e000000000000000000000000000000017dc0adfa76efae4c945e888ec9af"
    "ea3845437d9432f4b8488b0aa8478167";
constexpr char kC2sNext[] = "f10221c24ab79aa6dbc5ad92e14f689f8b3004ec49508979a586c5b5e2e74962";
constexpr char kFrameNext[] =
    "013000000000000100000007000000000000000000000001000000013f7949ae1d08254b8e01d448a18c"
    "b9be0e4b49c4bc1795";
constexpr char kResumeInit[] =
    "010100000000000000000081000000000000000000000000000000000a5d08011220de9edb7d7b7dc1b4"
    "d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f1a0b6165732d3235362d67636d2204746573"
    "742a2430313866303030302d303030302d373030302d383030302d303030303030303030303030122050"
    "3c8754e4523f48b9b2747f9b8dc6a2aa813172e44f14b3622eebcdbd8dece30000000000000000000000"
    "0000000000";
constexpr char kResumeResponse[] =
    "0102000000000000000000aa000000000000000000000000000000000a66080112208520f0098930a754"
    "748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a1a2430313866303030302d303030302d3730"
    "30302d383030302d303030303030303030303030220b6165732d3235362d67636d2880f8a5f9c1323204"
    "7465737438011240b73f2d1b8d45b93497f49c64eb13ed2ee184e228828e6598aa0fb1ba029112823121"
    "8cd60e91b3359d467f2a0ba61c5791debbe01c49ef05f0fa27620d55bb0aab81239fbe488eb1131a72b2"
    "2a3cabe5";
constexpr char kResumeFrame[] =
    "01030000000000010000000000000000000000000000000000000001b0005a7ac181d163b92ebddaf6d0"
    "7b4b";
constexpr char kResumeResumption[] =
    "401e4597ae460bd6bbb4385870e893d6d252769856851cd417b513cd6d66c27e";

ServerKeys test_keys() {
  const std::vector<std::string> pairs{"test:" + base64url_encode(bytes(kSeed))};
  return ServerKeys::parse(pairs).value();
}

struct Ephemeral {
  crypto::Secret32 key;
  explicit Ephemeral(const char* hex) { key.assign(bytes(hex)); }
};

v1::Heartbeat heartbeat(uint64_t server_time = 0) {
  v1::Heartbeat message;
  message.set_timestamp(kTestExpiry);
  message.set_server_time(server_time);
  return message;
}

std::string sealed(Session& session, const v1::Heartbeat& message) {
  OutgoingBuffer out;
  EXPECT_EQ(session.seal(FrameType::kHeartbeat, message, out), Sent::kOk);
  return hex_encode(out.bytes());
}

TEST(KnownAnswersTest, KeySchedule) {
  crypto::Secret32 alice;
  crypto::Secret32 shared;
  crypto::Secret32 session_key;
  crypto::X25519PublicKey alice_public;
  crypto::X25519PublicKey bob_public;
  alice.assign(bytes(kAlice));
  crypto::x25519_public_key(alice, alice_public);
  crypto::x25519_public_key(Ephemeral(kBob).key, bob_public);
  ASSERT_TRUE(crypto::x25519_shared(alice, {bob_public.data(), 32}, shared));
  derive_session_key(shared, nullptr, kTestSessionId, {alice_public.data(), 32},
                     {bob_public.data(), 32}, session_key);
  EXPECT_EQ(hex_encode(session_key.view()), kSessionKey);
  EXPECT_STREQ(kSessionKey, "a6e7c7f2e95b68a595513d8fa199cb4b61a7fcd47ba1187a7af95501e98065d2");

  Hash transcript;
  const std::string hash = bytes(kTranscript);
  std::copy(hash.begin(), hash.end(), transcript.begin());
  SessionKeys keys;
  derive_session_keys(session_key, transcript, keys);
  EXPECT_EQ(hex_encode(keys.client_to_server.secret.view()), kC2s);
  EXPECT_EQ(hex_encode(keys.server_to_client.secret.view()), kS2c);
  EXPECT_EQ(hex_encode(keys.resumption.view()), kResumption);
  EXPECT_EQ(hex_encode(keys.client_to_server.key.view()), kC2sKey);
  EXPECT_EQ(hex_encode(keys.server_to_client.key.view()), kS2cKey);
  advance_epoch(keys.client_to_server);
  EXPECT_EQ(hex_encode(keys.client_to_server.secret.view()), kC2sNext);
}

TEST(KnownAnswersTest, HandshakeFramesAndTheNextEpoch) {
  const ServerKeys keys = test_keys();
  OutgoingBuffer out;
  ClientHandshake client_handshake({.pinned = {pin(keys)}});
  client_handshake.start_with(Ephemeral(kAlice).key, nullptr, out);
  const std::string init = take(out);
  EXPECT_EQ(hex_encode(init), kInit);

  ServerHandshake server_handshake;
  ASSERT_FALSE(server_handshake.read(init));
  Session server;
  ASSERT_FALSE(server_handshake.accept_with(
      Ephemeral(kBob).key, keys, {.session_id = kTestSessionId, .expires_at = kTestExpiry}, out,
      server));
  const std::string response = take(out);
  EXPECT_EQ(hex_encode(response), kResponse);

  Session client;
  ASSERT_FALSE(client_handshake.read(response, client));
  EXPECT_EQ(hex_encode(client.resumption_secret()), kResumption);
  EXPECT_EQ(hex_encode(server.resumption_secret()), kResumption);
  EXPECT_EQ(sealed(client, heartbeat()), kFrameC2s);
  EXPECT_EQ(sealed(server, heartbeat(kTestExpiry + 1)), kFrameS2c);
  for (uint32_t i = 1; i < kLastSequence; ++i) sealed(client, heartbeat());
  EXPECT_EQ(sealed(client, heartbeat()), kFrameNext);
}

TEST(KnownAnswersTest, Resumption) {
  const ServerKeys keys = test_keys();
  const Resumption resume{kTestSessionId, crypto::Secret(bytes(kResumption))};
  OutgoingBuffer out;
  ClientHandshake client_handshake({.pinned = {pin(keys)}, .ciphers = {Cipher::kAes256Gcm}});
  client_handshake.start_with(Ephemeral(kBob).key, &resume, out);
  const std::string init = take(out);
  EXPECT_EQ(hex_encode(init), kResumeInit);

  ServerHandshake server_handshake;
  ASSERT_FALSE(server_handshake.read(init));
  EXPECT_EQ(server_handshake.resume_id(), kTestSessionId);
  Session server;
  ASSERT_FALSE(server_handshake.accept_with(Ephemeral(kAlice).key, keys,
                                            {kTestSessionId, resume.secret.view(), kTestExpiry},
                                            out, server));
  const std::string response = take(out);
  EXPECT_EQ(hex_encode(response), kResumeResponse);

  Session client;
  ASSERT_FALSE(client_handshake.read(response, client));
  EXPECT_EQ(hex_encode(client.resumption_secret()), kResumeResumption);
  EXPECT_EQ(hex_encode(seal(client, FrameType::kResume)), kResumeFrame);
}

}  // namespace
}  // namespace raymesh::raystream
