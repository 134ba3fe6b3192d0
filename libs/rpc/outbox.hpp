// What one side of a `Calls` stream has to send: small frames in order, and transfers (payloads
// above one chunk) in turns, each as far as its credit goes. A batch holds small frames first and,
// while transfers are waiting, one chunk of one of them: so a large payload neither holds up small
// ones nor starves behind them. Pure; its owner's mutex guards it.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>

#include "libs/base/result.hpp"
#include "libs/rpc/frames.hpp"

namespace raymesh::rpc {

/// A payload that is sent in chunks. Owned by its call; linked into the outbox while it can send.
struct Transfer {
  uint64_t id = 0;
  std::string body;
  size_t offset = 0;    // of `body`, sent so far
  uint64_t credit = 0;  // bytes that may still be sent
  uint64_t after = 0;   // segments that must have been taken first: they hold the Call frame
  bool queued = false;  // Invariant: linked in Outbox::ring_ exactly when true

  bool finished() const { return offset == body.size(); }
};

class Outbox {
 public:
  /// Appends a small frame. Returns the number of its segment, for `sent`.
  uint64_t add_frame(uint64_t id, uint32_t field, std::string_view body);
  uint64_t add_call(uint64_t id, const frames::CallParts& call);
  uint64_t add_chunk(uint64_t id, std::string_view payload, bool more);
  void add_credit(uint64_t id, uint32_t bytes);
  void add_cancel(uint64_t id);
  void add_error(uint64_t id, const Error& error);

  /// Lets a transfer send from now on, as far as its credit goes.
  void start(Transfer& transfer);
  /// The other side takes so many more bytes. Saturates.
  void grant(Transfer& transfer, uint32_t bytes);
  /// Forgets a transfer; must be called before it is destroyed.
  void drop(Transfer& transfer);

  bool empty() const { return segments_.empty() && ring_.empty(); }
  /// Bytes of small frames that wait.
  size_t waiting_bytes() const { return waiting_bytes_; }
  /// True when the frames of this segment have been taken.
  bool sent(uint64_t segment) const { return segment < first_segment_; }

  /// The next batch, empty when there is nothing to send. `finished` is set to the transfer whose
  /// last chunk is in this batch, if any.
  std::string take(Transfer*& finished);
  void clear();

 private:
  std::string& segment();
  template <class Append>
  uint64_t append(Append&& write);
  Transfer* next_transfer();
  Transfer* append_transfer_chunk(Transfer& transfer, std::string& batch);

  std::deque<std::string> segments_;
  uint64_t first_segment_ = 0;  // number of segments_.front()
  size_t waiting_bytes_ = 0;
  std::deque<Transfer*> ring_;
};

}  // namespace raymesh::rpc
