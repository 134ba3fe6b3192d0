// Counts every allocation of the process, those of OpenSSL and libsodium too: a session under way
// must make none. malloc itself is replaced, which the sanitizers do as well; the test is for
// builds without them.
#include <gtest/gtest.h>

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

}  // namespace
}  // namespace raymesh::raystream
