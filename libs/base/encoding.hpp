// Text forms of bytes: hex, base64, base64url and percent-encoding. Pure functions, any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace raymesh {

std::string hex_encode(std::string_view bytes);
std::optional<std::string> hex_decode(std::string_view text);

/// RFC 4648 section 4, with padding.
std::string base64_encode(std::string_view bytes);
/// The inverse, as strict as base64url_decode: padding is required.
std::optional<std::string> base64_decode(std::string_view text);
/// RFC 4648 section 5, without padding.
std::string base64url_encode(std::string_view bytes);
/// Refuses padding, line breaks, foreign characters and non-zero trailing bits, so that every
/// byte string has just one accepted form (tokens must not be malleable).
std::optional<std::string> base64url_decode(std::string_view text);

/// RFC 3986 section 2.1. Refuses a '%' that is not followed by two hex digits. '+' stays '+'.
std::optional<std::string> percent_decode(std::string_view text);

/// True when the text is well-formed UTF-8 (RFC 3629: no surrogates, no overlong forms).
bool is_valid_utf8(std::string_view text);

}  // namespace raymesh
