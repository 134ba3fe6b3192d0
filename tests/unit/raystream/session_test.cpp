#include "libs/raystream/session.hpp"

#include <gtest/gtest.h>

#include <type_traits>

#include "raymesh/raystream/v1/raystream.pb.h"
#include "tests/unit/raystream/pair.hpp"

namespace raymesh::raystream {
namespace {

// The shape that makes it impossible to use a nonce twice: no copies, and nothing left behind.
static_assert(!std::is_copy_constructible_v<Session> && !std::is_copy_assignable_v<Session> &&
              std::is_nothrow_move_constructible_v<Session>);
static_assert(sizeof(Session) <= 80);

constexpr FrameType kAllTypes[] = {FrameType::kHandshakeInit, FrameType::kHandshakeResponse,
                                   FrameType::kResume,        FrameType::kRpcCall,
                                   FrameType::kRpcResponse,   FrameType::kRpcError,
                                   FrameType::kSubscribe,     FrameType::kEvent,
                                   FrameType::kHeartbeat,     FrameType::kClose};

/// A pair in a phase.
struct InPhase : Pair {
  explicit InPhase(Phase phase) {
    connect();
    if (phase == Phase::kAttached) attach();
    if (phase == Phase::kClosed) {
      client.drop();
      server.drop();
    }
    if (phase != Phase::kResuming && phase != Phase::kResumePending) return;
    const Resumption resume{kTestSessionId, crypto::Secret(client.resumption_secret())};
    connect(options(), &resume);
    if (phase == Phase::kResumePending) expect_passes(client, server, FrameType::kResume);
  }
};

struct Row {
  Phase phase;
  std::vector<FrameType> from_client;
  std::vector<FrameType> from_server;
};

// The table of the protocol page, "States".
const Row kStates[] = {
    {Phase::kOpen,
     {FrameType::kRpcCall, FrameType::kHeartbeat, FrameType::kClose},
     {FrameType::kRpcResponse, FrameType::kRpcError, FrameType::kHeartbeat, FrameType::kClose}},
    {Phase::kResuming, {FrameType::kResume, FrameType::kClose}, {FrameType::kClose}},
    {Phase::kResumePending, {FrameType::kClose}, {FrameType::kResume, FrameType::kClose}},
    {Phase::kAttached,
     {FrameType::kRpcCall, FrameType::kSubscribe, FrameType::kHeartbeat, FrameType::kClose},
     {FrameType::kRpcResponse, FrameType::kRpcError, FrameType::kEvent, FrameType::kHeartbeat,
      FrameType::kClose}},
    {Phase::kClosed, {}, {}},
};

bool has(const std::vector<FrameType>& types, FrameType type) {
  return std::find(types.begin(), types.end(), type) != types.end();
}

TEST(SessionTest, EachPhaseHasItsFrames) {
  for (const Row& row : kStates)
    for (const FrameType type : kAllTypes)
      for (const bool client_sends : {true, false}) {
        InPhase pair(row.phase);
        Session& from = client_sends ? pair.client : pair.server;
        Session& to = client_sends ? pair.server : pair.client;
        const bool allowed = has(client_sends ? row.from_client : row.from_server, type);
        OutgoingBuffer out;
        EXPECT_EQ(from.seal(type, "", out), allowed ? Sent::kOk : Sent::kNotNow)
            << name_of(type) << static_cast<int>(row.phase);
        EXPECT_EQ(out.empty(), !allowed);
        if (allowed) {
          const Opened opened = open(to, take(out));
          EXPECT_EQ(opened.code, ErrorCode::kNone);
          EXPECT_EQ(opened.type, type);
        }
      }
}

// The receiver's own table, not the sender's good behaviour: the header says so, before the tag.
TEST(SessionTest, FramesOfAnotherPhaseAreRefusedByTheirHeader) {
  for (const Row& row : kStates)
    for (const FrameType type : kAllTypes)
      for (const bool to_server : {true, false}) {
        InPhase pair(row.phase);
        Session& to = to_server ? pair.server : pair.client;
        const Expected expected = to.expected();
        std::string header(kHeaderBytes, '\0');
        write_header(header.data(), type, expected.sequence, 0);
        const bool allowed = has(to_server ? row.from_client : row.from_server, type);
        EXPECT_EQ(parse_frame(header, expected).status,
                  allowed ? ParseStatus::kNeedMore : ParseStatus::kRefused)
            << name_of(type) << static_cast<int>(row.phase);
      }
}

TEST(SessionTest, TheLimitRisesWithAttach) {
  Pair pair;
  pair.connect();
  OutgoingBuffer out;
  EXPECT_EQ(pair.client.seal(FrameType::kRpcCall, std::string(kMaxUnattachedPayload + 1, 'x'), out),
            Sent::kTooLong);
  EXPECT_TRUE(out.empty());
  expect_passes(pair.client, pair.server, FrameType::kRpcCall,
                std::string(kMaxUnattachedPayload, 'x'));
  // A client that believes it is attached when the server does not.
  pair.client.attached();
  const std::string early =
      seal(pair.client, FrameType::kRpcCall, std::string(kMaxUnattachedPayload + 1, 'x'));
  EXPECT_EQ(
      parse_frame(std::string_view(early).substr(0, kHeaderBytes), pair.server.expected()).status,
      ParseStatus::kRefused);
  pair.server.attached();
  EXPECT_EQ(open(pair.server, early).code, ErrorCode::kNone);
  expect_passes(pair.client, pair.server, FrameType::kRpcCall, std::string(kMaxPayload, 'x'));
  expect_passes(pair.server, pair.client, FrameType::kRpcResponse, std::string(kMaxPayload, 'x'));
  EXPECT_EQ(pair.client.seal(FrameType::kRpcCall, std::string(kMaxPayload + 1, 'x'), out),
            Sent::kTooLong);
}

TEST(SessionTest, AttachCountsInTheOpenPhaseOnly) {
  for (const Phase phase : {Phase::kResuming, Phase::kResumePending, Phase::kClosed}) {
    InPhase pair(phase);
    pair.server.attached();
    EXPECT_EQ(pair.server.phase(), phase);
  }
}

TEST(SessionTest, ManyFramesLeaveInOneBuffer) {
  Pair pair;
  pair.connect();
  pair.attach();
  OutgoingBuffer out;
  for (int i = 0; i < 100; ++i)
    ASSERT_EQ(pair.server.seal(FrameType::kEvent, std::string(i, 'e'), out), Sent::kOk);
  std::string bytes = take(out);
  size_t at = 0;
  for (int i = 0; i < 100; ++i) {
    const ParsedFrame parsed =
        parse_frame(std::string_view(bytes).substr(at), pair.client.expected());
    ASSERT_EQ(parsed.status, ParseStatus::kFrame);
    Incoming incoming;
    ASSERT_FALSE(pair.client.open({bytes.data() + at, parsed.bytes}, incoming));
    EXPECT_EQ(std::string(incoming.payload.data(), incoming.payload.size()), std::string(i, 'e'));
    at += parsed.bytes;
  }
  EXPECT_EQ(at, bytes.size());
}

TEST(SessionTest, PiecesAndMessagesBecomeOnePayload) {
  Pair pair;
  pair.connect();
  OutgoingBuffer out;
  ASSERT_EQ(pair.server.seal(FrameType::kRpcResponse, {"a", "", "bc"}, out), Sent::kOk);
  EXPECT_EQ(open(pair.client, take(out)).payload, "abc");
  v1::RpcError error;
  error.set_call_id(7);
  error.set_error_code(v1::CONFLICT);
  ASSERT_EQ(pair.server.seal(FrameType::kRpcError, error, out), Sent::kOk);
  EXPECT_EQ(open(pair.client, take(out)).payload, error.SerializeAsString());
}

TEST(SessionTest, CloseEndsBothDirectionsAndWipesTheKeys) {
  Pair pair;
  pair.connect();
  OutgoingBuffer out;
  pair.server.close(ErrorCode::kSessionExpired, "too old", out);
  EXPECT_TRUE(pair.server.closed());
  EXPECT_EQ(pair.server.resumption_secret(), "");
  const Opened opened = open(pair.client, take(out));
  EXPECT_EQ(opened.type, FrameType::kClose);
  EXPECT_EQ(read_close(opened.payload).code, ErrorCode::kSessionExpired);
  EXPECT_EQ(read_close(opened.payload).reason, "too old");
  EXPECT_TRUE(pair.client.closed());
  EXPECT_EQ(pair.client.resumption_secret(), "");
  EXPECT_EQ(pair.client.seal(FrameType::kRpcCall, "", out), Sent::kNotNow);
  pair.client.close(ErrorCode::kNone, "", out);
  EXPECT_TRUE(out.empty());
}

TEST(SessionTest, MovesAndLeavesAClosedSessionBehind) {
  Pair pair;
  pair.connect();
  Session moved = std::move(pair.client);
  EXPECT_TRUE(pair.client.closed());  // NOLINT(bugprone-use-after-move): what a moved-from one is
  OutgoingBuffer out;
  EXPECT_EQ(pair.client.seal(FrameType::kRpcCall, "", out), Sent::kNotNow);
  Incoming incoming;
  EXPECT_TRUE(pair.client.open({}, incoming));
  expect_passes(moved, pair.server, FrameType::kRpcCall);
  pair.client = std::move(moved);
  expect_passes(pair.client, pair.server, FrameType::kRpcCall);
}

// A death test runs in a forked child, which has no secrets of its parent.
TEST(SessionDeathTest, DoesNotGoOnInAForkedProcess) {
  Pair pair;
  pair.connect();
  const std::string frame = seal(pair.server, FrameType::kHeartbeat);
  EXPECT_DEATH((void)seal(pair.client, FrameType::kRpcCall), "used in a forked process");
  EXPECT_DEATH((void)open(pair.client, frame), "used in a forked process");
}

TEST(SessionTest, SecretsGoBackToTheArena) {
  const size_t before = crypto::SecretArena::process().usage().in_use;
  {
    Pair pair;
    pair.connect();
    pair.connect();
    EXPECT_GT(crypto::SecretArena::process().usage().in_use, before);
  }
  EXPECT_EQ(crypto::SecretArena::process().usage().in_use, before);
}

}  // namespace
}  // namespace raymesh::raystream
