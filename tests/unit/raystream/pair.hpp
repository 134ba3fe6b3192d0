// A client and a server that have shaken hands, without a socket between them.
#pragma once

#include <gtest/gtest.h>

#include <span>
#include <string>
#include <utility>
#include <vector>

#include "libs/raystream/client_handshake.hpp"
#include "libs/raystream/server_handshake.hpp"
#include "libs/raystream/session_id.hpp"

namespace raymesh::raystream {

inline const std::string kTestSessionId = "018f0000-0000-7000-8000-000000000000";
inline constexpr uint64_t kTestExpiry = 1'735'689'600'000;

inline ServerKeys make_keys(std::vector<std::string> ids = {"test"}) {
  std::vector<std::string> pairs;
  for (const std::string& id : ids) pairs.push_back(ServerKeys::generate(id));
  return ServerKeys::parse(pairs).value();
}

inline PinnedKey pin(const ServerKeys& keys, size_t which = 0) {
  return {keys.keys()[which].id, keys.keys()[which].key.public_key()};
}

inline std::string take(OutgoingBuffer& out) {
  std::string bytes(out.bytes());
  out.consumed(bytes.size());
  return bytes;
}

/// Both ends of a connection, and the bytes that went over it.
struct Pair {
  ServerKeys keys = make_keys();
  std::string init;
  std::string response;
  Session client;
  Session server;

  ClientOptions options() const { return {.pinned = {pin(keys)}}; }

  /// Shakes hands; with `resume` the server knows the session and resumes it.
  void connect(ClientOptions client_options, const Resumption* resume = nullptr) {
    OutgoingBuffer out;
    ClientHandshake client_handshake(std::move(client_options));
    client_handshake.start(resume, out);
    init = take(out);
    ServerHandshake server_handshake;
    Refusal refusal = server_handshake.read(init);
    ASSERT_FALSE(refusal) << refusal.why;
    ServerHandshake::Terms terms{.session_id = kTestSessionId, .expires_at = kTestExpiry};
    if (resume != nullptr) terms = {resume->session_id, resume->secret.view(), kTestExpiry};
    refusal = server_handshake.accept(keys, terms, out, server);
    ASSERT_FALSE(refusal) << refusal.why;
    response = take(out);
    refusal = client_handshake.read(response, client);
    ASSERT_FALSE(refusal) << refusal.why;
    ASSERT_EQ(client_handshake.resumed(), resume != nullptr);
    ASSERT_EQ(client_handshake.expires_at(), kTestExpiry);
  }
  void connect() { connect(options()); }
  void attach() {
    client.attached();
    server.attached();
  }
};

inline std::string seal(Session& from, FrameType type, std::string_view payload = {}) {
  OutgoingBuffer out;
  const Sent sent = from.seal(type, payload, out);
  EXPECT_EQ(sent, Sent::kOk) << name_of(type);
  return take(out);
}

struct Opened {
  ErrorCode code = ErrorCode::kNone;
  FrameType type = FrameType::kClose;
  std::string payload{};
};

inline Opened open(Session& to, std::string frame) {
  Incoming incoming;
  const Refusal refusal = to.open({frame.data(), frame.size()}, incoming);
  if (refusal) return {.code = refusal.code};
  return {ErrorCode::kNone, incoming.type, {incoming.payload.data(), incoming.payload.size()}};
}

/// What one end seals the other one opens.
inline void expect_passes(Session& from, Session& to, FrameType type,
                          const std::string& payload = "payload") {
  const Opened opened = open(to, seal(from, type, payload));
  EXPECT_EQ(opened.code, ErrorCode::kNone) << name_of(type);
  EXPECT_EQ(opened.type, type);
  EXPECT_EQ(opened.payload, payload);
}

}  // namespace raymesh::raystream
