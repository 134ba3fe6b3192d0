// Memory that held a secret and is overwritten before it goes back to the allocator. Values, owned
// by whoever needs the secret; any thread may use its own.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

namespace raymesh::crypto {

/// Overwrites memory in a way that the compiler does not optimise away (sodium_memzero).
void wipe(void* data, size_t size);
/// Overwrites the whole capacity of the string and empties it.
void wipe(std::string& text);

/// A byte string that is wiped when it goes. Move-only, so that no copies are left behind.
class Secret {
 public:
  Secret() = default;
  explicit Secret(std::string_view bytes) : bytes_(bytes) {}
  Secret(Secret&& other) noexcept { take(other); }
  Secret& operator=(Secret&& other) noexcept {
    if (this != &other) {
      wipe(bytes_);
      take(other);
    }
    return *this;
  }
  Secret(const Secret&) = delete;
  Secret& operator=(const Secret&) = delete;
  ~Secret() { wipe(bytes_); }

  std::string_view view() const { return bytes_; }
  size_t size() const { return bytes_.size(); }
  bool empty() const { return bytes_.empty(); }

 private:
  // A moved-from std::string may keep its short content inside: wiped, not just moved.
  void take(Secret& other) noexcept {
    bytes_.swap(other.bytes_);
    wipe(other.bytes_);
  }

  std::string bytes_;
};

/// Wipes a string that someone else owns (a password in a request message) at the end of the scope.
class WipeOnExit {
 public:
  explicit WipeOnExit(std::string& text) : text_(text) {}
  WipeOnExit(const WipeOnExit&) = delete;
  WipeOnExit& operator=(const WipeOnExit&) = delete;
  ~WipeOnExit() { wipe(text_); }

 private:
  std::string& text_;
};

}  // namespace raymesh::crypto
