#include "services/gateway/request_id.hpp"

#include <cstdint>
#include <random>

namespace raymesh::gateway {

void append_request_id(std::string& out) {
  thread_local std::mt19937_64 generator = [] {
    std::random_device device;
    std::seed_seq seed{device(), device(), device(), device()};
    return std::mt19937_64(seed);
  }();
  static constexpr char kHex[] = "0123456789abcdef";
  uint64_t bits = generator();
  for (int i = 0; i < 16; ++i, bits >>= 4) out += kHex[bits & 15];
}

}  // namespace raymesh::gateway
