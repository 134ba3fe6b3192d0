// Counts every allocation of the process, those of OpenSSL and libsodium too: a session under way
// must make none. malloc itself is replaced, which the sanitizers do as well; the test is for
// builds without them.
#include <gtest/gtest.h>
#include <malloc.h>

#include <atomic>
#include <cstdlib>

#include "libs/raystream/frame_stream.hpp"
#include "raymesh/raystream/v1/raystream.pb.h"
#include "tests/unit/raystream/pair.hpp"

namespace {
std::atomic<size_t> allocations{0};
}

extern "C" {
// glibc's own names for what is replaced here.
void* __libc_malloc(size_t size);
void* __libc_calloc(size_t count, size_t size);
void* __libc_realloc(void* old, size_t size);
void* __libc_memalign(size_t alignment, size_t size);

void* malloc(size_t size) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  return __libc_malloc(size);
}
void* calloc(size_t count, size_t size) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  return __libc_calloc(count, size);
}
void* realloc(void* old, size_t size) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  return __libc_realloc(old, size);
}
void* aligned_alloc(size_t alignment, size_t size) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  return __libc_memalign(alignment, size);
}
}

namespace raymesh::raystream {
namespace {

size_t count() {
  return allocations.load(std::memory_order_relaxed);
}

/// Seals batches of frames and reads them back in pieces of 64 KiB.
void exchange(Session& from, Session& to, OutgoingBuffer& out, FrameStream& stream,
              const std::string& payload, const v1::Heartbeat& heartbeat, int frames) {
  for (int sent = 0; sent < frames;) {
    for (int i = 0; i < 8; ++i, sent += 2) {
      if (from.seal(FrameType::kRpcCall, {payload}, out) != Sent::kOk) std::abort();
      if (from.seal(FrameType::kHeartbeat, heartbeat, out) != Sent::kOk) std::abort();
    }
    while (!out.empty()) {
      const size_t size = std::min<size_t>(out.size(), 65'536);
      stream.feed({const_cast<char*>(out.bytes().data()), size});
      while (true) {
        const FrameStream::Next next = stream.next(to.expected());
        if (next.status == ParseStatus::kNeedMore) break;
        Incoming incoming;
        if (to.open(next.frame, incoming)) std::abort();
      }
      out.consumed(size);
    }
  }
}

TEST(AllocationTest, TheCounterCounts) {
  const size_t before = count();
  auto* volatile memory = new int(1);
  EXPECT_EQ(count(), before + 1);
  delete memory;
}

TEST(AllocationTest, SmallFramesAllocateNothing) {
  for (const Cipher cipher : {Cipher::kChaCha20Poly1305, Cipher::kAes256Gcm}) {
    Pair pair;
    pair.connect({.pinned = {pin(pair.keys)}, .ciphers = {cipher}});
    pair.attach();
    FrameBudget budget(10'000'000);
    FrameStream stream(budget);
    OutgoingBuffer out;
    const std::string payload(200, 'p');
    v1::Heartbeat heartbeat;
    heartbeat.set_timestamp(kTestExpiry);
    exchange(pair.client, pair.server, out, stream, payload, heartbeat, 64);
    const size_t before = count();
    // Over the boundary of an epoch: deriving keys allocates nothing, either.
    exchange(pair.client, pair.server, out, stream, payload, heartbeat, 40'000);
    EXPECT_EQ(count(), before);
    EXPECT_EQ(pair.server.expected().epoch, 2u);
  }
}

// OpenSSL's path. (A frame that a read cuts is copied to a buffer, which is made once per read at
// most.)
TEST(AllocationTest, LargeFramesAllocateNothingPerFrame) {
  for (const Cipher cipher : {Cipher::kChaCha20Poly1305, Cipher::kAes256Gcm}) {
    Pair pair;
    pair.connect({.pinned = {pin(pair.keys)}, .ciphers = {cipher}});
    pair.attach();
    OutgoingBuffer out;
    const std::string payload(6'000, 'p');
    FrameBudget budget(10'000'000);
    FrameStream stream(budget);
    v1::Heartbeat heartbeat;
    exchange(pair.client, pair.server, out, stream, payload, heartbeat, 64);
    const size_t before = count();
    exchange(pair.client, pair.server, out, stream, payload, heartbeat, 8'000);
    EXPECT_EQ(count(), before);
  }
}

/// What a connection has of this library once it is quiet.
struct Idle {
  explicit Idle(FrameBudget& budget) : stream(budget) {}
  Session session;
  FrameStream stream;
  OutgoingBuffer out;
};

// The goal for a whole idle session, its actor and socket included, is 12 KB.
TEST(AllocationTest, AnIdleSessionHoldsLessThan500Bytes) {
  constexpr size_t kSessions = 2'000;
  FrameBudget budget(10'000'000);
  std::vector<std::unique_ptr<Idle>> idle;
  idle.reserve(kSessions);
  Pair pair;
  pair.connect();
  const size_t heap = mallinfo2().uordblks;
  const size_t secrets = crypto::SecretArena::process().usage().in_use;
  for (size_t i = 0; i < kSessions; ++i) {
    idle.push_back(std::make_unique<Idle>(budget));
    Idle& one = *idle.back();
    pair.connect();
    one.session = std::move(pair.server);
    one.session.attached();
    pair.client.attached();
    OutgoingBuffer from_client;
    ASSERT_EQ(pair.client.seal(FrameType::kRpcCall, std::string(5'000, 'c'), from_client),
              Sent::kOk);
    std::string bytes = take(from_client);
    for (const size_t at : {0, 2'000}) {
      one.stream.feed({bytes.data() + at, at == 0 ? 2'000 : bytes.size() - 2'000});
      const FrameStream::Next next = one.stream.next(one.session.expected());
      if (next.status != ParseStatus::kFrame) continue;
      Incoming incoming;
      ASSERT_FALSE(one.session.open(next.frame, incoming));
      ASSERT_EQ(one.session.seal(FrameType::kRpcResponse, std::string(5'000, 'r'), one.out),
                Sent::kOk);
    }
    ASSERT_EQ(one.stream.next(one.session.expected()).status, ParseStatus::kNeedMore);
    one.out.consumed(one.out.size());
    one.out.release();
  }
  const size_t each =
      (mallinfo2().uordblks - heap + crypto::SecretArena::process().usage().in_use - secrets) /
      kSessions;
  RecordProperty("bytes", static_cast<int>(each));
  EXPECT_LT(each, 500u);
  EXPECT_EQ(budget.used(), 0u);
}

}  // namespace
}  // namespace raymesh::raystream
