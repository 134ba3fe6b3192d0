// A session's name: a UUID of version 7 (RFC 9562 section 5.7) as 36 lower-case characters. It is
// no secret. One length and one form, because it stands in front of the public keys in the key
// schedule with nothing in between. Pure functions; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace raymesh::raystream {

bool is_session_id(std::string_view text);

/// A new one; 74 of its bits are random.
std::string new_session_id(uint64_t unix_ms);

}  // namespace raymesh::raystream
