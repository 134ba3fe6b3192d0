// Somebody between client and server changes the handshake, or is one of them.
#include <gtest/gtest.h>

#include <functional>

#include "libs/base/encoding.hpp"
#include "raymesh/raystream/v1/raystream.pb.h"
#include "tests/unit/raystream/pair.hpp"

namespace raymesh::raystream {
namespace {

std::string plain(FrameType type, std::string_view payload) {
  OutgoingBuffer out;
  (void)append_plain_frame(type, payload, out);
  return take(out);
}

v1::Offer good_offer() {
  v1::Offer offer;
  offer.set_version(1);
  offer.set_client_pub(std::string(32, 'p'));
  offer.add_supported_ciphers("chacha20-poly1305");
  return offer;
}

std::string init_frame(const v1::Offer& offer, const std::string& binder = "") {
  v1::HandshakeInit init;
  init.set_offer(offer.SerializeAsString());
  init.set_binder(binder);
  return plain(FrameType::kHandshakeInit, init.SerializeAsString());
}

ErrorCode server_reads(const std::string& frame) {
  ServerHandshake server;
  return server.read(frame).code;
}

/// A handshake under way: INIT was sent, and an attacker may change both frames.
struct Attack {
  ServerKeys keys = make_keys();
  OutgoingBuffer out;
  ClientHandshake client;
  std::string init;

  explicit Attack(std::vector<Cipher> ciphers = {Cipher::kChaCha20Poly1305, Cipher::kAes256Gcm})
      : client({.pinned = {pin(keys)}, .ciphers = std::move(ciphers)}) {
    client.start(nullptr, out);
    init = take(out);
  }

  /// What the server answers to `frame`; empty when it refuses it.
  std::string answer_to(const std::string& frame, const ServerKeys* with = nullptr) {
    ServerHandshake server;
    Session session;
    if (server.read(frame) ||
        server.accept(with != nullptr ? *with : keys, {.session_id = kTestSessionId}, out, session))
      return "";
    return take(out);
  }
  ErrorCode client_reads(const std::string& response) {
    Session session;
    const ErrorCode code = client.read(response, session).code;
    EXPECT_EQ(session.closed(), code != ErrorCode::kNone);
    return code;
  }
};

TEST(HandshakeAttackTest, EveryBitOfInitThatChangesIsNoticed) {
  const size_t bits = Attack().init.size() * 8;
  for (size_t bit_index = 0; bit_index < bits; ++bit_index) {
    Attack attack;
    std::string changed = attack.init;
    changed[bit_index / 8] = static_cast<char>(changed[bit_index / 8] ^ (1 << bit_index % 8));
    const std::string response = attack.answer_to(changed);
    // Either the server cannot take it, or the client sees another transcript signed.
    if (!response.empty()) {
      EXPECT_EQ(attack.client_reads(response), ErrorCode::kUnauthorized) << bit_index;
    }
  }
}

TEST(HandshakeAttackTest, EveryBitOfResponseThatChangesIsNoticed) {
  Attack sample;
  const size_t bits = sample.answer_to(sample.init).size() * 8;
  for (size_t bit_index = 0; bit_index < bits; ++bit_index) {
    Attack attack;
    std::string changed = attack.answer_to(attack.init);
    ASSERT_EQ(changed.size() * 8, bits);
    changed[bit_index / 8] = static_cast<char>(changed[bit_index / 8] ^ (1 << bit_index % 8));
    EXPECT_NE(attack.client_reads(changed), ErrorCode::kNone) << bit_index;
  }
}

TEST(HandshakeAttackTest, EveryTruncationIsNoticed) {
  Attack sample;
  const std::string response = sample.answer_to(sample.init);
  for (size_t size = 0; size < sample.init.size(); ++size)
    EXPECT_EQ(server_reads(sample.init.substr(0, size)), ErrorCode::kInvalidRequest) << size;
  EXPECT_EQ(server_reads(sample.init + "x"), ErrorCode::kInvalidRequest);
  for (size_t size = 0; size < response.size(); size += 7) {
    Attack attack;
    EXPECT_EQ(attack.client_reads(attack.answer_to(attack.init).substr(0, size)),
              ErrorCode::kInvalidRequest)
        << size;
  }
}

// The classic: an attacker takes the better cipher out of the offer.
TEST(HandshakeAttackTest, DowngradeOfTheCipherBreaksTheSignature) {
  Attack attack;
  v1::HandshakeInit init;
  v1::Offer offer;
  ASSERT_TRUE(init.ParseFromString(std::string(payload_of(std::string_view(attack.init)))));
  ASSERT_TRUE(offer.ParseFromString(init.offer()));
  offer.clear_supported_ciphers();
  offer.add_supported_ciphers("aes-256-gcm");
  const std::string response = attack.answer_to(init_frame(offer));
  ASSERT_FALSE(response.empty());
  EXPECT_EQ(attack.client_reads(response), ErrorCode::kUnauthorized);
}

TEST(HandshakeAttackTest, OtherVersionsAreRefusedByBothEnds) {
  v1::Offer offer = good_offer();
  for (const uint32_t version : {0, 2}) {
    offer.set_version(version);
    EXPECT_EQ(server_reads(init_frame(offer)), ErrorCode::kInvalidRequest) << version;
  }
}

/// A server of the attacker's, which has the right signing key or not and says whatever it wants.
std::string forged_response(Attack& attack, const ServerKeys& keys,
                            const std::function<void(v1::Hello&)>& change,
                            std::string signature = "") {
  crypto::Secret32 ephemeral;
  crypto::X25519PublicKey server_public;
  crypto::x25519_generate(ephemeral, server_public);
  v1::Hello hello;
  hello.set_version(1);
  hello.set_server_pub(server_public.data(), 32);
  hello.set_session_id(kTestSessionId);
  hello.set_selected_cipher("chacha20-poly1305");
  hello.set_server_key_id("test");
  change(hello);
  v1::HandshakeResponse response;
  response.set_hello(hello.SerializeAsString());
  if (signature.empty()) {
    crypto::Sha256 hash;
    const auto text = text_to_sign(finish(hash.update(attack.init).update(response.hello())));
    crypto::Ed25519Signature signed_text;
    keys.signing("test").key.sign({text.data(), text.size()}, signed_text);
    signature.assign(signed_text.data(), signed_text.size());
  }
  response.set_signature(signature == "none" ? "" : signature);
  return plain(FrameType::kHandshakeResponse, response.SerializeAsString());
}

TEST(HandshakeAttackTest, TheWrongServerIsNotBelieved) {
  const ServerKeys foreign = make_keys();  // the same id, another key
  {
    Attack attack;
    EXPECT_EQ(attack.client_reads(attack.answer_to(attack.init, &foreign)),
              ErrorCode::kUnauthorized);
  }
  {
    Attack attack;
    const ServerKeys unknown = make_keys({"unknown"});
    EXPECT_EQ(attack.client_reads(attack.answer_to(attack.init, &unknown)),
              ErrorCode::kUnauthorized);
  }
  {
    Attack attack;
    EXPECT_EQ(attack.client_reads(forged_response(
                  attack, attack.keys, [](auto&) {}, "none")),
              ErrorCode::kUnauthorized);
  }
  {
    Attack attack;
    EXPECT_EQ(attack.client_reads(forged_response(
                  attack, attack.keys, [](auto&) {}, std::string(64, '\0'))),
              ErrorCode::kUnauthorized);
  }
}

// With the right signature even: what the client asked for still binds the server.
TEST(HandshakeAttackTest, ASignedHelloMustFitTheOffer) {
  struct Case {
    const char* what;
    std::function<void(v1::Hello&)> change;
    ErrorCode code;
  };
  const Case cases[] = {
      {"version", [](auto& h) { h.set_version(2); }, ErrorCode::kInvalidRequest},
      {"no cipher", [](auto& h) { h.set_selected_cipher(""); }, ErrorCode::kInvalidRequest},
      {"unknown cipher", [](auto& h) { h.set_selected_cipher("null"); },
       ErrorCode::kInvalidRequest},
      {"cipher not offered", [](auto& h) { h.set_selected_cipher("aes-256-gcm"); },
       ErrorCode::kInvalidRequest},
      {"session id", [](auto& h) { h.set_session_id("1"); }, ErrorCode::kInvalidRequest},
      {"upper case", [](auto& h) { h.set_session_id("018F0000-0000-7000-8000-000000000000"); },
       ErrorCode::kInvalidRequest},
      {"resumed unasked", [](auto& h) { h.set_resumed(true); }, ErrorCode::kInvalidRequest},
      {"key of low order", [](auto& h) { h.set_server_pub(std::string(32, '\0')); },
       ErrorCode::kInvalidRequest},
      {"short key", [](auto& h) { h.set_server_pub("short"); }, ErrorCode::kInvalidRequest},
      {"no key confirmation", [](auto&) {}, ErrorCode::kDecryptionFailed},
  };
  for (const Case& c : cases) {
    Attack attack({Cipher::kChaCha20Poly1305});
    EXPECT_EQ(attack.client_reads(forged_response(attack, attack.keys, c.change)), c.code)
        << c.what;
  }
}

TEST(HandshakeAttackTest, ClientKeysOfLowOrderAreRefused) {
  const char* points[] = {
      "0000000000000000000000000000000000000000000000000000000000000000",
      "0100000000000000000000000000000000000000000000000000000000000000",
      "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
      "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
      "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
      "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
      "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
  };
  const ServerKeys keys = make_keys();
  for (const char* point : points) {
    v1::Offer offer = good_offer();
    offer.set_client_pub(hex_decode(point).value());
    ServerHandshake server;
    ASSERT_FALSE(server.read(init_frame(offer)));
    OutgoingBuffer out;
    Session session;
    EXPECT_EQ(server.accept(keys, {.session_id = kTestSessionId}, out, session).code,
              ErrorCode::kInvalidRequest)
        << point;
    EXPECT_TRUE(out.empty());
    EXPECT_TRUE(session.closed());
  }
}

TEST(HandshakeAttackTest, MalformedOffersAreRefused) {
  auto refused = [](const std::function<void(v1::Offer&)>& change, const std::string& binder = "") {
    v1::Offer offer = good_offer();
    change(offer);
    return server_reads(init_frame(offer, binder)) == ErrorCode::kInvalidRequest;
  };
  EXPECT_EQ(server_reads(init_frame(good_offer())), ErrorCode::kNone);
  EXPECT_TRUE(refused([](auto& o) { o.set_client_pub(std::string(31, 'p')); }));
  EXPECT_TRUE(refused([](auto& o) { o.set_client_pub(std::string(33, 'p')); }));
  EXPECT_TRUE(refused([](auto& o) { o.clear_supported_ciphers(); }));
  EXPECT_TRUE(refused([](auto& o) { o.set_supported_ciphers(0, "rot13"); }));
  EXPECT_TRUE(refused([](auto& o) {
    for (int i = 0; i < 16; ++i) o.add_supported_ciphers("more");
  }));
  EXPECT_TRUE(refused([](auto& o) { o.set_server_key_id("a key"); }));
  EXPECT_TRUE(refused([](auto& o) { o.set_server_key_id(std::string(33, 'k')); }));
  EXPECT_TRUE(refused([](auto& o) { o.set_session_id("1"); }, std::string(32, 'b')));
  EXPECT_TRUE(refused([](auto& o) { o.set_session_id(kTestSessionId); }));
  EXPECT_TRUE(refused([](auto& o) { o.set_session_id(kTestSessionId); }, std::string(31, 'b')));
  EXPECT_TRUE(refused([](auto&) {}, std::string(32, 'b')));
  EXPECT_EQ(server_reads(plain(FrameType::kHandshakeInit, "\xff")), ErrorCode::kInvalidRequest);
  EXPECT_EQ(server_reads(plain(FrameType::kHandshakeInit, "")), ErrorCode::kInvalidRequest);
}

// Unknown fields are passed over, but not thousands of them: each would be an object of the parser.
TEST(HandshakeAttackTest, MessagesHaveABoundedNumberOfFields) {
  v1::HandshakeInit init;
  init.set_offer(good_offer().SerializeAsString());
  const std::string unknown = "\x78\x01";  // field 15, a number
  std::string payload = init.SerializeAsString();
  for (size_t fields = 1; fields < kMaxHandshakeFields; ++fields) payload += unknown;
  EXPECT_EQ(server_reads(plain(FrameType::kHandshakeInit, payload)), ErrorCode::kNone);
  payload += unknown;
  EXPECT_EQ(server_reads(plain(FrameType::kHandshakeInit, payload)), ErrorCode::kInvalidRequest);
  for (size_t i = 0; i < 1'000; ++i) *init.mutable_offer() += unknown;
  EXPECT_EQ(server_reads(plain(FrameType::kHandshakeInit, init.SerializeAsString())),
            ErrorCode::kInvalidRequest);
}

TEST(HandshakeAttackTest, NothingButInitBegins) {
  for (int byte = 0; byte < 256; ++byte) {
    const auto type = static_cast<FrameType>(byte);
    if (type == FrameType::kHandshakeInit) continue;
    EXPECT_EQ(server_reads(plain(type, "")), ErrorCode::kInvalidRequest) << byte;
  }
  for (int byte = 0; byte < 256; ++byte) {
    const auto type = static_cast<FrameType>(byte);
    if (type == FrameType::kHandshakeResponse || type == FrameType::kClose) continue;
    Attack attack;
    EXPECT_EQ(attack.client_reads(plain(type, "")), ErrorCode::kInvalidRequest) << byte;
  }
}

TEST(HandshakeAttackTest, AClientsOwnInitIsNoAnswer) {
  Attack attack;
  EXPECT_EQ(attack.client_reads(attack.init), ErrorCode::kInvalidRequest);
}

TEST(HandshakeAttackTest, AnAnswerToAnotherInitIsRefused) {
  Attack first;
  Attack second;
  EXPECT_EQ(second.client_reads(second.answer_to(first.init)), ErrorCode::kUnauthorized);
}

// A server that is not the signer cannot reuse what the signer said to the same INIT.
TEST(HandshakeAttackTest, AnotherTagOnTheSameHelloIsRefused) {
  Attack attack;
  const std::string first = attack.answer_to(attack.init);
  const std::string second = attack.answer_to(attack.init);
  EXPECT_EQ(attack.client_reads(first.substr(0, first.size() - kTagBytes) +
                                second.substr(second.size() - kTagBytes)),
            ErrorCode::kDecryptionFailed);
}

TEST(HandshakeAttackTest, InitAboveTheLimitIsRefusedFromItsHeader) {
  char header[kHeaderBytes];
  write_header(header, FrameType::kHandshakeInit, 0, kMaxHandshakePayload + 1);
  EXPECT_EQ(parse_frame({header, kHeaderBytes}, ServerHandshake::expected()).refusal.code,
            ErrorCode::kInvalidRequest);
  EXPECT_EQ(parse_frame({header, kHeaderBytes}, ClientHandshake::expected()).refusal.code,
            ErrorCode::kInvalidRequest);
  write_header(header, FrameType::kHandshakeInit, 0, kMaxHandshakePayload);
  EXPECT_EQ(parse_frame({header, kHeaderBytes}, ServerHandshake::expected()).status,
            ParseStatus::kNeedMore);
}

}  // namespace
}  // namespace raymesh::raystream
