// What an account may look like: emails, passwords, roles, names. Pure functions, any thread.
#pragma once

#include <string>
#include <string_view>

#include "libs/base/result.hpp"

namespace raymesh::auth {

/// RFC 5321 section 4.5.3.1.3: a path has at most 256 octets with its brackets.
inline constexpr size_t kMaxEmailBytes = 254;
/// In characters (Unicode code points), as NIST SP 800-63B section 5.1.1.2 counts them.
inline constexpr size_t kMinPasswordCharacters = 8;
inline constexpr size_t kMaxPasswordCharacters = 200;
inline constexpr size_t kMaxNameBytes = 200;

/// The address without surrounding white space, otherwise as it was typed: how it is stored and
/// shown. Lookups ignore the case of ASCII letters. Errors: `invalid_email` for what cannot be an
/// address (no single @, empty parts, white space or control characters, too long, not UTF-8);
/// whether it exists only a message to it can tell.
Result<std::string> clean_email(std::string_view email);

/// The key under which an address is counted and compared: ASCII letters in lower case.
std::string email_key(std::string_view clean_email);

/// Errors: `weak_password`. 8 to 200 characters of UTF-8, no rules about which.
Status check_new_password(std::string_view password);

/// 1 to 64 characters of [A-Za-z0-9_.-], beginning with a letter.
bool is_role_name(std::string_view role);

/// A display name: UTF-8 without control characters, at most kMaxNameBytes.
bool is_display_name(std::string_view name);

}  // namespace raymesh::auth
