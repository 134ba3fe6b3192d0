#include "libs/crypto/secret.hpp"

#include <sodium.h>

namespace raymesh::crypto {

void wipe(void* data, size_t size) {
  sodium_memzero(data, size);
}

void wipe(std::string& text) {
  text.resize(text.capacity());
  wipe(text.data(), text.size());
  text.clear();
}

}  // namespace raymesh::crypto
