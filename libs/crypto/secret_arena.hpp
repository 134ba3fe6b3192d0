// Memory for secrets that live as long as a session: kept out of swap (mlock) where the process's
// limit allows it, out of core dumps and out of forked children (who find zeros), with a page on
// either side that nobody may touch, and wiped before it is used again. Locking works on whole
// pages and the limit is small (8 MiB on Debian 12), so secrets share pages: 10,000 sessions of 192
// bytes take 1.9 MiB of it. When the limit is reached the arena goes on without locking and counts
// it.
//
// One arena per process, any thread; a mutex, so for what is made once per session, not per frame.
#pragma once

#include <cstddef>
#include <memory>
#include <mutex>
#include <new>
#include <utility>
#include <vector>

namespace raymesh::crypto {

class SecretArena {
 public:
  static constexpr size_t kSlotUnit = 64;
  static constexpr size_t kMaxSlot = 1024;
  static constexpr size_t kChunkBytes = 65'536;

  struct Usage {
    size_t in_use = 0;    // bytes of slots handed out
    size_t locked = 0;    // bytes of pages that cannot be swapped out
    size_t unlocked = 0;  // bytes of pages that the limit did not allow to lock
  };

  /// The process's arena. Never destroyed, so that secrets may outlive anything static.
  static SecretArena& process();

  SecretArena() = default;
  SecretArena(const SecretArena&) = delete;
  SecretArena& operator=(const SecretArena&) = delete;
  /// All slots must have come back.
  ~SecretArena();

  /// Zeroed memory of `bytes` (1 to kMaxSlot), aligned to kSlotUnit. Throws std::bad_alloc when
  /// the system gives no pages.
  void* take(size_t bytes);
  /// Wipes the slot. `bytes` as in `take`.
  void give_back(void* slot, size_t bytes) noexcept;

  Usage usage() const;

 private:
  struct Chunk {
    char* mapping;  // a guard page, kChunkBytes, a guard page
    bool locked;
  };
  void add_chunk(size_t size_class);

  mutable std::mutex mutex_;
  // Invariant: free_[c] are the free slots of (c + 1) * kSlotUnit bytes, all of them zero; its
  // capacity is that of all slots of the class, so that giving back never allocates.
  std::vector<void*> free_[kMaxSlot / kSlotUnit];
  size_t slots_[kMaxSlot / kSlotUnit] = {};
  std::vector<Chunk> chunks_;
  size_t in_use_ = 0;
};

/// A T in the process's arena, owned like by a unique_ptr. T wipes itself (SecretArray members),
/// and the slot is wiped once more as a whole.
template <class T>
class Locked {
 public:
  static_assert(sizeof(T) <= SecretArena::kMaxSlot && alignof(T) <= SecretArena::kSlotUnit);

  /// Empty.
  Locked() = default;
  template <class... Args>
  static Locked make(Args&&... args) {
    Locked made;
    void* slot = SecretArena::process().take(sizeof(T));
    made.value_ = new (slot) T(std::forward<Args>(args)...);
    return made;
  }
  Locked(Locked&& other) noexcept : value_(std::exchange(other.value_, nullptr)) {}
  Locked& operator=(Locked&& other) noexcept {
    if (this != &other) {
      reset();
      value_ = std::exchange(other.value_, nullptr);
    }
    return *this;
  }
  ~Locked() { reset(); }

  void reset() noexcept {
    if (value_ == nullptr) return;
    value_->~T();
    SecretArena::process().give_back(std::exchange(value_, nullptr), sizeof(T));
  }

  explicit operator bool() const { return value_ != nullptr; }
  T& operator*() const { return *value_; }
  T* operator->() const { return value_; }

 private:
  T* value_ = nullptr;
};

}  // namespace raymesh::crypto
