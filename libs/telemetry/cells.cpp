#include "libs/telemetry/cells.hpp"

#include <cstdlib>
#include <map>
#include <mutex>
#include <tuple>
#include <utility>
#include <vector>

namespace raymesh::metrics {

constinit const Cells::Stripe Cells::kNone{};
constinit thread_local const Cells::Stripe* Cells::own_stripe_ = &Cells::kNone;

// Who has which cells. One in the process, which never ends: threads may add until the very end.
class CellStore {
 public:
  using Cell = Cells::Cell;
  using Page = Cells::Page;
  using Stripe = Cells::Stripe;

  static CellStore& get() {
    static auto* store = new CellStore;
    return *store;
  }

  // False: there is no place.
  bool take_run(size_t count, uint32_t& page, uint32_t& offset) {
    std::lock_guard lock(mutex_);
    auto& free = free_runs_[count];
    if (!free.empty()) {
      std::tie(page, offset) = free.back();
      free.pop_back();
      return true;
    }
    if (next_offset_ + count > Cells::kMaxRun) {
      if (next_page_ + 1 >= Cells::kMaxPages) return false;
      ++next_page_;
      next_offset_ = 0;
    }
    page = next_page_;
    offset = next_offset_;
    next_offset_ += static_cast<uint32_t>(count);
    return true;
  }

  void give_back_run(size_t count, uint32_t page, uint32_t offset) {
    std::lock_guard lock(mutex_);
    for_each_page(page, [&](Page& p) {
      for (size_t i = 0; i < count; ++i) p.cells[offset + i].store(0, std::memory_order_relaxed);
    });
    free_runs_[count].emplace_back(page, offset);
  }

  // A page of this thread's cells, or of the shared ones.
  struct Found {
    Page& page;
    bool shared;
  };
  Found find_page(uint32_t page) {
    const bool shared = !has_own_stripe();
    Stripe& stripe = shared ? shared_ : *owner_.stripe;
    Page* found = stripe.pages[page].load(std::memory_order_acquire);
    if (!found) {
      std::lock_guard lock(mutex_);
      found = stripe.pages[page].load(std::memory_order_relaxed);
      if (!found) stripe.pages[page].store(found = new Page, std::memory_order_release);
    }
    return {*found, shared};
  }

  template <class Read>
  void for_each(uint32_t page, size_t place, Read read) {
    std::lock_guard lock(mutex_);
    for_each_page(page, [&](Page& p) { read(p.cells[place].load(std::memory_order_acquire)); });
  }

 private:
  // Gives the thread's stripe back when it ends, with what it has counted.
  struct Owner {
    Stripe* stripe = nullptr;
    ~Owner() {
      // Destructors of other thread-local objects may still add.
      Cells::own_stripe_ = &Cells::kNone;
      shares_ = true;
      if (stripe) CellStore::get().give_back_stripe(stripe);
    }
  };
  static thread_local Owner owner_;
  static constinit thread_local bool shares_;

  bool has_own_stripe() {
    if (shares_) return false;
    if (owner_.stripe) return true;
    std::lock_guard lock(mutex_);
    if (!free_stripes_.empty()) {
      owner_.stripe = free_stripes_.back();
      free_stripes_.pop_back();
    } else if (stripes_.size() < Cells::kMaxThreads) {
      owner_.stripe = stripes_.emplace_back(std::make_unique<Stripe>()).get();
    } else {
      shares_ = true;
      return false;
    }
    Cells::own_stripe_ = owner_.stripe;
    return true;
  }

  void give_back_stripe(Stripe* stripe) {
    std::lock_guard lock(mutex_);
    free_stripes_.push_back(stripe);
  }

  // Called with mutex_ held.
  template <class Use>
  void for_each_page(uint32_t page, Use use) {
    for (const auto& stripe : stripes_)
      if (Page* p = stripe->pages[page].load(std::memory_order_relaxed)) use(*p);
    if (Page* p = shared_.pages[page].load(std::memory_order_relaxed)) use(*p);
  }

  std::mutex mutex_;
  std::vector<std::unique_ptr<Stripe>> stripes_;
  std::vector<Stripe*> free_stripes_;  // of threads that have ended
  Stripe shared_;
  uint32_t next_page_ = 1;
  uint32_t next_offset_ = 0;
  std::map<size_t, std::vector<std::pair<uint32_t, uint32_t>>> free_runs_;  // by length
};

thread_local CellStore::Owner CellStore::owner_;
constinit thread_local bool CellStore::shares_ = false;

namespace {

void add_real_locked(std::atomic<uint64_t>& cell, double v) {
  uint64_t old = cell.load(std::memory_order_relaxed);
  while (!cell.compare_exchange_weak(old, std::bit_cast<uint64_t>(std::bit_cast<double>(old) + v),
                                     std::memory_order_release, std::memory_order_relaxed)) {
  }
}

}  // namespace

Cells::Cells(size_t count) : count_(count) {
  if (count == 0 || count > kMaxRun) std::abort();
  if (!CellStore::get().take_run(count, page_, offset_)) {
    page_ = 0;
    alone_ = std::make_unique<Cell[]>(count);
  }
}

Cells::~Cells() {
  if (!alone_) CellStore::get().give_back_run(count_, page_, offset_);
}

void Cells::add_slowly(size_t i, uint64_t n) {
  if (alone_) {
    alone_[i].fetch_add(n, std::memory_order_release);
    return;
  }
  const auto found = CellStore::get().find_page(page_);
  if (found.shared)
    found.page.cells[offset_ + i].fetch_add(n, std::memory_order_release);
  else
    add(i, n);
}

void Cells::add_real_slowly(size_t i, double v) {
  if (alone_) return add_real_locked(alone_[i], v);
  const auto found = CellStore::get().find_page(page_);
  if (found.shared)
    add_real_locked(found.page.cells[offset_ + i], v);
  else
    add_real(i, v);
}

template <class Read>
void Cells::for_each(size_t i, Read read) const {
  if (alone_) return read(alone_[i].load(std::memory_order_acquire));
  CellStore::get().for_each(page_, offset_ + i, read);
}

uint64_t Cells::sum(size_t i) const {
  uint64_t sum = 0;
  for_each(i, [&](uint64_t cell) { sum += cell; });
  return sum;
}

double Cells::sum_real(size_t i) const {
  double sum = 0;
  for_each(i, [&](uint64_t cell) { sum += std::bit_cast<double>(cell); });
  return sum;
}

}  // namespace raymesh::metrics
