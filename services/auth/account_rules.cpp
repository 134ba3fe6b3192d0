#include "services/auth/account_rules.hpp"

#include <algorithm>

#include "libs/base/encoding.hpp"

namespace raymesh::auth {
namespace {

bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

bool is_space(char c) {
  return c == ' ' || (c >= '\t' && c <= '\r');
}

// C0 controls and DEL.
bool is_control(char c) {
  return (c >= 0 && c < ' ') || c == 0x7f;
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  return text;
}

size_t code_points(std::string_view utf8) {
  return static_cast<size_t>(
      std::count_if(utf8.begin(), utf8.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}

}  // namespace

Result<std::string> clean_email(std::string_view email) {
  const std::string_view address = trimmed(email);
  const size_t at = address.find('@');
  const bool plausible = address.size() <= kMaxEmailBytes && at != std::string_view::npos &&
                         at > 0 && at <= 64 && at + 1 < address.size() &&
                         address.find('@', at + 1) == std::string_view::npos &&
                         address[at + 1] != '.' && address.back() != '.' &&
                         std::none_of(address.begin(), address.end(),
                                      [](char c) { return is_space(c) || is_control(c); }) &&
                         is_valid_utf8(address);
  if (!plausible) return Error(errors::kInvalidEmail, "The email address is not valid");
  return std::string(address);
}

std::string email_key(std::string_view clean_email) {
  std::string key(clean_email);
  for (char& c : key)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return key;
}

Status check_new_password(std::string_view password) {
  if (!is_valid_utf8(password))
    return Error(errors::kWeakPassword, "The password is not valid UTF-8");
  const size_t characters = code_points(password);
  if (characters < kMinPasswordCharacters)
    return Error(errors::kWeakPassword, "The password must have at least 8 characters");
  if (characters > kMaxPasswordCharacters)
    return Error(errors::kWeakPassword, "The password must have at most 200 characters");
  return ok_status();
}

bool is_role_name(std::string_view role) {
  return !role.empty() && role.size() <= 64 && is_letter(role.front()) &&
         std::all_of(role.begin(), role.end(), [](char c) {
           return is_letter(c) || (c >= '0' && c <= '9') || c == '_' || c == '.' || c == '-';
         });
}

bool is_display_name(std::string_view name) {
  return name.size() <= kMaxNameBytes && is_valid_utf8(name) &&
         std::none_of(name.begin(), name.end(), is_control);
}

}  // namespace raymesh::auth
