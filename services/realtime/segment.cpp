#include "services/realtime/segment.hpp"

#include <cstdlib>
#include <cstring>
#include <new>

namespace raymesh::realtime {

SegmentRef Segment::create(size_t capacity, SegmentMemory& memory) {
  void* raw = std::malloc(sizeof(Segment) + capacity);
  if (!raw) throw std::bad_alloc();
  memory.bytes_.fetch_add(capacity, std::memory_order_relaxed);
  return SegmentRef(new (raw) Segment(capacity, memory));
}

Span Span::copy(std::string_view bytes, SegmentMemory& memory) {
  Span out{Segment::create(bytes.size(), memory), 0, static_cast<uint32_t>(bytes.size())};
  std::memcpy(out.segment->data(), bytes.data(), bytes.size());
  return out;
}

void Segment::release() {
  if (references_.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  memory_.bytes_.fetch_sub(capacity_, std::memory_order_relaxed);
  this->~Segment();
  std::free(this);
}

}  // namespace raymesh::realtime
