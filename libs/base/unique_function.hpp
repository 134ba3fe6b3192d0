// UniqueFunction<R(A...)>: a move-only std::function with 48 bytes of room inside, so that a
// completion handler may own what it captures and the common ones allocate nothing.
#pragma once

#include <cstddef>
#include <new>
#include <type_traits>
#include <utility>

namespace raymesh {

template <class Signature>
class UniqueFunction;

template <class R, class... A>
class UniqueFunction<R(A...)> {
 public:
  UniqueFunction() = default;
  UniqueFunction(std::nullptr_t) {}  // NOLINT: implicit like std::function

  template <class F, class D = std::decay_t<F>>
  requires(!std::is_same_v<D, UniqueFunction> && std::is_invocable_r_v<R, D&, A...>)
      UniqueFunction(F&& f) {  // NOLINT: implicit like std::function
    if constexpr (kFits<D>) {
      new (storage_) D(std::forward<F>(f));
      ops_ = &kInlineOps<D>;
    } else {
      *reinterpret_cast<D**>(storage_) = new D(std::forward<F>(f));
      ops_ = &kHeapOps<D>;
    }
  }

  UniqueFunction(UniqueFunction&& o) noexcept { take(o); }
  UniqueFunction& operator=(UniqueFunction&& o) noexcept {
    if (this != &o) {
      reset();
      take(o);
    }
    return *this;
  }
  UniqueFunction(const UniqueFunction&) = delete;
  UniqueFunction& operator=(const UniqueFunction&) = delete;
  ~UniqueFunction() { reset(); }

  explicit operator bool() const { return ops_ != nullptr; }
  R operator()(A... args) { return ops_->call(storage_, std::forward<A>(args)...); }

  void reset() {
    if (ops_) std::exchange(ops_, nullptr)->destroy(storage_);
  }

 private:
  static constexpr size_t kRoom = 48;
  template <class D>
  static constexpr bool kFits =
      sizeof(D) <= kRoom &&
      alignof(D) <= alignof(std::max_align_t) && std::is_nothrow_move_constructible_v<D>;

  struct Ops {
    R (*call)(void*, A&&...);
    void (*move)(void* from, void* to);
    void (*destroy)(void*);
  };

  template <class D>
  static D& inline_at(void* p) {
    return *std::launder(reinterpret_cast<D*>(p));
  }
  template <class D>
  static D*& heap_at(void* p) {
    return *reinterpret_cast<D**>(p);
  }

  template <class D>
  static constexpr Ops kInlineOps = {
      [](void* p, A&&... a) -> R { return inline_at<D>(p)(std::forward<A>(a)...); },
      [](void* from, void* to) {
        new (to) D(std::move(inline_at<D>(from)));
        inline_at<D>(from).~D();
      },
      [](void* p) { inline_at<D>(p).~D(); }};
  template <class D>
  static constexpr Ops kHeapOps = {
      [](void* p, A&&... a) -> R { return (*heap_at<D>(p))(std::forward<A>(a)...); },
      [](void* from, void* to) { heap_at<D>(to) = heap_at<D>(from); },
      [](void* p) { delete heap_at<D>(p); }};

  void take(UniqueFunction& o) noexcept {
    ops_ = std::exchange(o.ops_, nullptr);
    if (ops_) ops_->move(o.storage_, storage_);
  }

  const Ops* ops_ = nullptr;
  alignas(std::max_align_t) unsigned char storage_[kRoom];
};

}  // namespace raymesh
