// Unpredictable bytes from the kernel (getrandom, through libsodium). Any thread.
#pragma once

#include <cstddef>
#include <string>

namespace raymesh::crypto {

std::string random_bytes(size_t count);

/// `bytes` random bytes as base64url without padding: 32 bytes are 43 characters.
std::string random_token(size_t bytes = 32);

/// A version 4 UUID (RFC 4122 section 4.4) in lower case.
std::string random_uuid();

}  // namespace raymesh::crypto
