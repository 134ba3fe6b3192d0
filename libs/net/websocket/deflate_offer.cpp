#include "libs/net/websocket/deflate_offer.hpp"

#include <array>
#include <cstddef>
#include <optional>
#include <string>

namespace raymesh::net::websocket {
namespace {

// Section 7.1.1: a server may name both in its answer whether the client has asked for them or not.
constexpr std::string_view kAnswer =
    "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
// Section 7.1.2.1: who asks for a window is told which one.
constexpr std::string_view kAnswerWithWindow =
    "permessage-deflate; server_no_context_takeover; client_no_context_takeover; "
    "server_max_window_bits=15";
static_assert(kDeflateWindowBits == 15, "the answer names it");

/// RFC 9110 section 5.6.2.
bool is_token_char(char c) {
  if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')) return true;
  return c != '\0' && std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
}

/// Reads the grammar of RFC 6455 section 9.1.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}

  bool at_end() {
    skip_space();
    return at_ == text_.size();
  }
  bool take(char c) {
    skip_space();
    if (at_ == text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  /// Empty: there is none here.
  std::string_view token() {
    skip_space();
    const size_t begin = at_;
    while (at_ < text_.size() && is_token_char(text_[at_])) ++at_;
    return text_.substr(begin, at_ - begin);
  }
  /// A token, bare or in quotes: what the quotes hold must be one, too.
  bool value(std::string& out) {
    if (!take('"')) {
      out = token();
      return !out.empty();
    }
    out.clear();
    for (; at_ < text_.size() && text_[at_] != '"'; ++at_) {
      if (text_[at_] == '\\' && ++at_ == text_.size()) return false;
      if (!is_token_char(text_[at_])) return false;
      out += text_[at_];
    }
    return at_++ < text_.size() && !out.empty();
  }

 private:
  void skip_space() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\t')) ++at_;
  }

  std::string_view text_;
  size_t at_ = 0;
};

/// 8 to 15, in decimal and without leading zeros (section 7.1.2).
std::optional<int> window_bits(std::string_view text) {
  if (text.size() == 1 && (text[0] == '8' || text[0] == '9')) return text[0] - '0';
  if (text.size() == 2 && text[0] == '1' && text[1] >= '0' && text[1] <= '5')
    return 10 + text[1] - '0';
  return std::nullopt;
}

/// One offer of permessage-deflate, parameter by parameter.
class Offer {
 public:
  void add(std::string_view name, const std::optional<std::string>& value) {
    for (size_t i = 0; i < kNames.size(); ++i) {
      if (name != kNames[i]) continue;
      fits_ = fits_ && !seen_[i] && allows(i, value);
      seen_[i] = true;
      return;
    }
    fits_ = false;
  }
  bool fits() const { return fits_; }
  std::string_view answer() const { return seen_[kServerWindow] ? kAnswerWithWindow : kAnswer; }

 private:
  static constexpr std::array<std::string_view, 4> kNames = {
      "server_no_context_takeover", "client_no_context_takeover", "server_max_window_bits",
      "client_max_window_bits"};
  static constexpr size_t kServerWindow = 2;
  static constexpr size_t kClientWindow = 3;

  static bool allows(size_t name, const std::optional<std::string>& value) {
    if (name < kServerWindow) return !value;
    // A hint, with or without a value. The answer has nothing about it: the inflater takes every
    // window, and asking for a smaller one would save nothing where one serves all connections.
    if (name == kClientWindow && !value) return true;
    const auto bits = value ? window_bits(*value) : std::nullopt;
    return bits && (name == kClientWindow || *bits >= kDeflateWindowBits);
  }

  bool fits_ = true;
  std::array<bool, kNames.size()> seen_{};
};

}  // namespace

DeflateAnswer answer_deflate(std::string_view offers) {
  constexpr DeflateAnswer kMalformed{DeflateDecision::kMalformed, {}};
  DeflateAnswer out;
  Scanner scanner(offers);
  while (!scanner.at_end()) {
    if (scanner.take(',')) continue;  // a list may have empty elements (RFC 9110 section 5.6.1)
    const std::string_view extension = scanner.token();
    if (extension.empty()) return kMalformed;
    Offer offer;
    while (scanner.take(';')) {
      const std::string_view name = scanner.token();
      if (name.empty()) return kMalformed;
      std::optional<std::string> value;
      if (scanner.take('=') && !scanner.value(value.emplace())) return kMalformed;
      offer.add(name, value);
    }
    if (!scanner.at_end() && !scanner.take(',')) return kMalformed;
    if (out.decision == DeflateDecision::kDeclined && extension == "permessage-deflate" &&
        offer.fits())
      out = {DeflateDecision::kAccepted, offer.answer()};
  }
  return out;
}

}  // namespace raymesh::net::websocket
