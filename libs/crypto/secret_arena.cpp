#include "libs/crypto/secret_arena.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "libs/crypto/secret.hpp"

namespace raymesh::crypto {
namespace {

size_t page_bytes() {
  static const auto kBytes = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  return kBytes;
}

size_t class_of(size_t bytes) {
  if (bytes == 0 || bytes > SecretArena::kMaxSlot) {
    std::fprintf(stderr, "raymesh: a secret of %zu bytes does not fit the arena\n", bytes);
    std::abort();
  }
  return (bytes - 1) / SecretArena::kSlotUnit;
}

size_t slot_bytes(size_t size_class) {
  return (size_class + 1) * SecretArena::kSlotUnit;
}

}  // namespace

SecretArena& SecretArena::process() {
  static auto* arena = new SecretArena;
  return *arena;
}

SecretArena::~SecretArena() {
  for (const Chunk& chunk : chunks_) munmap(chunk.mapping, kChunkBytes + 2 * page_bytes());
}

void SecretArena::add_chunk(size_t size_class) {
  // Room for the bookkeeping first: nothing below may fail half-way.
  const size_t per_chunk = kChunkBytes / slot_bytes(size_class);
  free_[size_class].reserve(slots_[size_class] + per_chunk);
  chunks_.reserve(chunks_.size() + 1);
  const size_t whole = kChunkBytes + 2 * page_bytes();
  void* mapping = mmap(nullptr, whole, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapping == MAP_FAILED) throw std::bad_alloc();
  char* slots = static_cast<char*>(mapping) + page_bytes();
  if (mprotect(slots, kChunkBytes, PROT_READ | PROT_WRITE) != 0) {
    munmap(mapping, whole);
    throw std::bad_alloc();
  }
  // Each is a hardening that an old kernel or a limit may deny; the secrets are needed all the
  // same.
  madvise(slots, kChunkBytes, MADV_DONTDUMP);
  madvise(slots, kChunkBytes, MADV_WIPEONFORK);
  const bool locked = mlock(slots, kChunkBytes) == 0;
  chunks_.push_back({static_cast<char*>(mapping), locked});
  slots_[size_class] += per_chunk;
  // Backwards, so that slots are handed out in the order of their addresses.
  for (size_t i = per_chunk; i > 0; --i)
    free_[size_class].push_back(slots + (i - 1) * slot_bytes(size_class));
}

void* SecretArena::take(size_t bytes) {
  const size_t size_class = class_of(bytes);
  const std::lock_guard lock(mutex_);
  if (free_[size_class].empty()) add_chunk(size_class);
  void* slot = free_[size_class].back();
  free_[size_class].pop_back();
  in_use_ += slot_bytes(size_class);
  return slot;
}

void SecretArena::give_back(void* slot, size_t bytes) noexcept {
  const size_t size_class = class_of(bytes);
  wipe(slot, slot_bytes(size_class));
  const std::lock_guard lock(mutex_);
  free_[size_class].push_back(slot);
  in_use_ -= slot_bytes(size_class);
}

SecretArena::Usage SecretArena::usage() const {
  const std::lock_guard lock(mutex_);
  Usage usage{.in_use = in_use_};
  for (const Chunk& chunk : chunks_) (chunk.locked ? usage.locked : usage.unlocked) += kChunkBytes;
  return usage;
}

}  // namespace raymesh::crypto
