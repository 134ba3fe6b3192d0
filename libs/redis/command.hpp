// One Redis command, encoded (RESP2) while its arguments are given, so that the I/O thread only
// copies bytes: no argument vectors and no second buffer as redisFormatCommandArgv needs them.
// Arguments may hold any bytes. Value; any thread may use its own.
#pragma once

#include <charconv>
#include <concepts>
#include <cstddef>
#include <string>
#include <string_view>

namespace raymesh::redis {

class Command {
 public:
  Command() = default;
  explicit Command(std::string_view name) { arg(name); }
  /// `Command("SET", key, value)`
  template <class... Args>
  requires(sizeof...(Args) > 0) explicit Command(std::string_view name, const Args&... args) {
    arg(name);
    (arg(args), ...);
  }

  Command& arg(std::string_view bytes) {
    append_header(body_, '$', bytes.size());
    body_.append(bytes);
    body_.append("\r\n", 2);
    ++count_;
    return *this;
  }
  Command& arg(std::integral auto number) {
    char digits[24];
    auto end = std::to_chars(digits, digits + sizeof digits, number);
    return arg(std::string_view(digits, static_cast<size_t>(end.ptr - digits)));
  }
  /// All arguments of another command.
  Command& add(const Command& more) {
    body_.append(more.body_);
    count_ += more.count_;
    return *this;
  }
  void reserve(size_t bytes) { body_.reserve(bytes); }

  size_t count() const { return count_; }
  size_t bytes() const { return body_.size(); }
  /// Appends the array header and `first`'s arguments, then this command's.
  void append_to(std::string& out, const Command* first = nullptr) const {
    append_header(out, '*', count_ + (first ? first->count_ : 0));
    if (first) out.append(first->body_);
    out.append(body_);
  }

 private:
  static void append_header(std::string& out, char type, size_t number) {
    char text[24] = {type};
    auto end = std::to_chars(text + 1, text + sizeof text - 2, number).ptr;
    *end++ = '\r';
    *end++ = '\n';
    out.append(text, static_cast<size_t>(end - text));
  }

  std::string body_;
  size_t count_ = 0;
};

}  // namespace raymesh::redis
