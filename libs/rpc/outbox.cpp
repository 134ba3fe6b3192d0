#include "libs/rpc/outbox.hpp"

#include <algorithm>
#include <limits>

#include "libs/rpc/frames.hpp"

namespace raymesh::rpc {
namespace {

// Half a batch, so that a chunk of a transfer always finds room beside a full segment.
constexpr size_t kSegmentBytes = frames::kBatchBytes / 2;

}  // namespace

std::string& Outbox::segment() {
  if (segments_.empty() || segments_.back().size() >= kSegmentBytes) segments_.emplace_back();
  return segments_.back();
}

template <class Append>
uint64_t Outbox::append(Append&& write) {
  std::string& out = segment();
  const size_t before = out.size();
  write(out);
  waiting_bytes_ += out.size() - before;
  // A frame that overflows its segment starts the next one, unless it is alone.
  if (out.size() > kSegmentBytes && before > 0) {
    std::string moved = out.substr(before);
    out.resize(before);
    segments_.push_back(std::move(moved));
  }
  return first_segment_ + segments_.size() - 1;
}

uint64_t Outbox::add_frame(uint64_t id, uint32_t field, std::string_view body) {
  return append([&](std::string& out) { frames::append_frame(out, id, field, body); });
}

uint64_t Outbox::add_call(uint64_t id, const frames::CallParts& call) {
  return append([&](std::string& out) { frames::append_call(out, id, call); });
}

uint64_t Outbox::add_chunk(uint64_t id, std::string_view payload, bool more) {
  return append([&](std::string& out) { frames::append_chunk(out, id, payload, more); });
}

void Outbox::add_credit(uint64_t id, uint32_t bytes) {
  append([&](std::string& out) { frames::append_credit(out, id, bytes); });
}

void Outbox::add_cancel(uint64_t id) {
  add_frame(id, frames::kCancel, {});
}

void Outbox::add_error(uint64_t id, const Error& error) {
  append([&](std::string& out) { frames::append_error(out, id, error); });
}

void Outbox::start(Transfer& transfer) {
  if (transfer.queued || transfer.credit == 0 || transfer.finished()) return;
  transfer.queued = true;
  ring_.push_back(&transfer);
}

void Outbox::grant(Transfer& transfer, uint32_t bytes) {
  transfer.credit =
      std::min<uint64_t>(transfer.credit + bytes, std::numeric_limits<int64_t>::max());
  start(transfer);
}

void Outbox::drop(Transfer& transfer) {
  if (!transfer.queued) return;
  transfer.queued = false;
  ring_.erase(std::find(ring_.begin(), ring_.end(), &transfer));
}

Transfer* Outbox::next_transfer() {
  for (size_t i = 0; i < ring_.size(); ++i) {
    Transfer* transfer = ring_.front();
    ring_.pop_front();
    if (transfer->after <= first_segment_) {
      transfer->queued = false;
      return transfer;
    }
    ring_.push_back(transfer);
  }
  return nullptr;
}

Transfer* Outbox::append_transfer_chunk(Transfer& transfer, std::string& batch) {
  const size_t rest = transfer.body.size() - transfer.offset;
  const auto n =
      static_cast<size_t>(std::min<uint64_t>({frames::kChunkBytes, rest, transfer.credit}));
  frames::append_chunk(batch, transfer.id,
                       std::string_view(transfer.body).substr(transfer.offset, n), n < rest);
  transfer.offset += n;
  transfer.credit -= n;
  if (transfer.finished()) return &transfer;
  start(transfer);
  return nullptr;
}

std::string Outbox::take(Transfer*& finished) {
  finished = nullptr;
  std::string batch;
  const auto take_segment = [&] {
    waiting_bytes_ -= segments_.front().size();
    if (batch.empty())
      batch = std::move(segments_.front());
    else
      batch += segments_.front();
    segments_.pop_front();
    ++first_segment_;
  };
  if (!segments_.empty()) take_segment();
  if (Transfer* transfer = next_transfer())
    finished = append_transfer_chunk(*transfer, batch);
  else if (!segments_.empty() && batch.size() + segments_.front().size() <= frames::kBatchBytes)
    take_segment();
  return batch;
}

void Outbox::clear() {
  first_segment_ += segments_.size();
  segments_.clear();
  waiting_bytes_ = 0;
  for (Transfer* transfer : ring_) transfer->queued = false;
  ring_.clear();
}

}  // namespace raymesh::rpc
