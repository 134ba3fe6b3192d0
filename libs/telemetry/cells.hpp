// Numbers that every thread adds to and that are read now and then, for the price of a plain load
// and store: each thread has a cell of its own for each of them, side by side with its other cells
// and apart from other threads' cache lines; a reader sums them up. What a thread has counted stays
// when it ends, and the next thread goes on with its cells, so that memory is bounded by the
// threads that live at a time: 8 bytes for each number, in pages of 4 KiB that come when they are
// needed. The threads beyond kMaxThreads share cells, and add to them with a locked instruction.
// Thread-safe; owned by the metrics.
#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>

namespace raymesh::metrics {

/// A run of numbers that are often added to together. Nothing is lost, and an addition is seen only
/// with those that happened before it.
class Cells {
 public:
  /// With cells of their own.
  static constexpr size_t kMaxThreads = 128;
  /// The longest run.
  static constexpr size_t kMaxRun = 512;

  /// All zero.
  explicit Cells(size_t count);
  /// Nobody adds any more.
  ~Cells();
  Cells(const Cells&) = delete;
  Cells& operator=(const Cells&) = delete;

  void add(size_t i, uint64_t n) {
    Cell* const own = own_run();
    if (!own) return add_slowly(i, n);
    own[i].store(own[i].load(std::memory_order_relaxed) + n, std::memory_order_release);
  }
  /// A cell holds whole numbers or real ones, always the same kind.
  void add_real(size_t i, double v) {
    Cell* const own = own_run();
    if (!own) return add_real_slowly(i, v);
    const double sum = std::bit_cast<double>(own[i].load(std::memory_order_relaxed)) + v;
    own[i].store(std::bit_cast<uint64_t>(sum), std::memory_order_release);
  }

  uint64_t sum(size_t i) const;
  double sum_real(size_t i) const;

 private:
  friend class CellStore;
  using Cell = std::atomic<uint64_t>;
  static constexpr size_t kMaxPages = 256;
  struct alignas(64) Page {
    std::array<Cell, kMaxRun> cells{};
  };
  // The cells of one thread. Invariant: page 0 is nullptr, so that runs for which there was no
  // place take the slow way.
  struct Stripe {
    std::array<std::atomic<Page*>, kMaxPages> pages{};
  };

  // Of this thread; kNone while it has none.
  static constinit thread_local const Stripe* own_stripe_;
  static const Stripe kNone;

  // nullptr: the slow way.
  Cell* own_run() const {
    // Written by this thread alone.
    Page* const page = own_stripe_->pages[page_].load(std::memory_order_relaxed);
    return page ? page->cells.data() + offset_ : nullptr;
  }
  void add_slowly(size_t i, uint64_t n);
  void add_real_slowly(size_t i, double v);
  template <class Read>
  void for_each(size_t i, Read read) const;

  const size_t count_;
  uint32_t page_ = 0;
  uint32_t offset_ = 0;
  std::unique_ptr<Cell[]> alone_;  // all pages are taken: one cell for all threads
};

}  // namespace raymesh::metrics
