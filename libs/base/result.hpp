// Result<T>: a value or an Error, for everything that is expected to fail. Plain values, no locks:
// any thread may use its own. Exceptions are kept for start-up and for libraries that throw, and
// are caught in the file that calls the library.
#pragma once

#include <chrono>
#include <string>
#include <utility>
#include <variant>

#include "libs/base/error_codes.hpp"

namespace raymesh {

/// What went wrong, for a program (`kind`) and for a person (`message`: what, with which value,
/// what to do).
struct Error {
  const ErrorKind* kind = &errors::kInternal;
  std::string message;
  /// Zero, or how long the caller should wait before it tries again (HTTP Retry-After).
  std::chrono::milliseconds retry_after{0};

  Error() = default;
  Error(const ErrorKind& k, std::string m, std::chrono::milliseconds retry = {})
      : kind(&k), message(std::move(m)), retry_after(retry) {}

  std::string_view code() const { return kind->code; }
  StatusCode status() const { return kind->status; }
  int http_status() const { return kind->http_status; }
  bool is(const ErrorKind& k) const { return kind->code == k.code; }
};

struct Unit {};

template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : v_(std::in_place_index<0>, std::move(value)) {}  // NOLINT: implicit on purpose
  Result(Error error)
      : v_(std::in_place_index<1>, std::move(error)) {}  // NOLINT: implicit on purpose

  bool ok() const { return v_.index() == 0; }
  explicit operator bool() const { return ok(); }

  T& value() & { return std::get<0>(v_); }
  const T& value() const& { return std::get<0>(v_); }
  T&& value() && { return std::get<0>(std::move(v_)); }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

  Error& error() & { return std::get<1>(v_); }
  const Error& error() const& { return std::get<1>(v_); }
  Error&& error() && { return std::get<1>(std::move(v_)); }

 private:
  std::variant<T, Error> v_;
};

using Status = Result<Unit>;
inline Status ok_status() {
  return Unit{};
}

/// `RAYMESH_TRY(auto x, f());` — declares x from the value, or returns the error.
// NOLINTBEGIN(bugprone-macro-parentheses): `decl` is a declaration
#define RAYMESH_TRY_CONCAT2(a, b) a##b
#define RAYMESH_TRY_CONCAT(a, b) RAYMESH_TRY_CONCAT2(a, b)
#define RAYMESH_TRY_IMPL(tmp, decl, expr)       \
  auto tmp = (expr);                            \
  if (!tmp.ok()) return std::move(tmp).error(); \
  decl = std::move(tmp).value()
#define RAYMESH_TRY(decl, expr) RAYMESH_TRY_IMPL(RAYMESH_TRY_CONCAT(try_, __LINE__), decl, expr)
// NOLINTEND(bugprone-macro-parentheses)
/// `RAYMESH_CHECK_OK(f());` — returns the error of a Result whose value is not needed.
#define RAYMESH_CHECK_OK(expr)                          \
  do {                                                  \
    auto check_ = (expr);                               \
    if (!check_.ok()) return std::move(check_).error(); \
  } while (false)

}  // namespace raymesh
