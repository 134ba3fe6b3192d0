#include "services/gateway/relay_events.hpp"

#include <algorithm>

#include "libs/base/json_reader.hpp"
#include "libs/raystream/protocol.hpp"
#include "raymesh/raystream/v1/raystream.pb.h"

namespace raymesh::gateway {
namespace {

using raymesh::raystream::v1::Event;

constexpr size_t kOffsetBytes = 8;
constexpr size_t kMaxEpoch = 32;

bool is_epoch(std::string_view text) {
  const auto fits = [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
  };
  return !text.empty() && text.size() <= kMaxEpoch && std::ranges::all_of(text, fits);
}

void put_varint(std::string& out, uint64_t value) {
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
  out += static_cast<char>(value);
}

void put_number(std::string& out, int field, uint64_t value) {
  put_varint(out, static_cast<uint64_t>(field) << 3 | 0);
  put_varint(out, value);
}

size_t text_bytes(std::string_view text) {
  if (text.empty()) return 0;
  size_t bytes = 2 + text.size();
  for (size_t rest = text.size(); rest >= 0x80; rest >>= 7) ++bytes;
  return bytes;
}

void put_text(std::string& out, int field, std::string_view text) {
  if (text.empty()) return;
  put_varint(out, static_cast<uint64_t>(field) << 3 | 2);
  put_varint(out, text.size());
  out += text;
}

std::string id_of(std::string_view member) {
  std::string key;
  const auto value = parse_json(member);
  if (!value || !value->is(JsonKind::kObject)) return {};
  for (JsonMembers members(*value); members.next();)
    if (members.key(key) == "id") {
      std::string id;
      return members.value().is(JsonKind::kString) ? std::string(members.value().text(id)) : id;
    }
  return {};
}

}  // namespace

std::string position_bytes(const ChannelPosition& position) {
  if (position.epoch.empty()) return {};
  std::string out;
  out.reserve(kOffsetBytes + position.epoch.size());
  for (int shift = 56; shift >= 0; shift -= 8)
    out += static_cast<char>(position.offset >> shift & 0xff);
  return out += position.epoch;
}

std::optional<ChannelPosition> parse_position(std::string_view bytes) {
  if (bytes.size() <= kOffsetBytes || !is_epoch(bytes.substr(kOffsetBytes))) return std::nullopt;
  ChannelPosition out;
  for (size_t i = 0; i < kOffsetBytes; ++i)
    out.offset = out.offset << 8 | static_cast<unsigned char>(bytes[i]);
  out.epoch = bytes.substr(kOffsetBytes);
  return out;
}

void EventBlock::add(std::string_view channel, const ChannelPosition& at, int type,
                     std::string_view id, std::string_view data, bool for_watchers) {
  position_ = position_bytes(at);
  const size_t size =
      2 + text_bytes(channel) + text_bytes(position_) + 2 + text_bytes(id) + text_bytes(data);
  put_varint(bytes_, static_cast<uint64_t>(Event::kMoreFieldNumber) << 3 | 2);
  put_varint(bytes_, size);
  const auto begin = static_cast<uint32_t>(bytes_.size());
  put_number(bytes_, Event::kKindFieldNumber, raymesh::raystream::v1::CHANNEL);
  put_text(bytes_, Event::kNameFieldNumber, channel);
  put_text(bytes_, Event::kPositionFieldNumber, position_);
  put_number(bytes_, Event::kTypeFieldNumber, static_cast<uint64_t>(type));
  put_text(bytes_, Event::kIdFieldNumber, id);
  put_text(bytes_, Event::kDataFieldNumber, data);
  items_.push_back({begin, static_cast<uint32_t>(bytes_.size()), for_watchers});
  has_watchers_ |= for_watchers;
}

void EventBlock::add_message(std::string_view channel, const ChannelPosition& at,
                             std::string_view payload) {
  // Tags, lengths, position and type are far below this.
  constexpr size_t kRest = 256;
  if (payload.size() + channel.size() + kRest > raymesh::raystream::kMaxPayload)
    return add_reset(channel, at);
  add(channel, at, Event::MESSAGE, {}, payload, false);
}

void EventBlock::add_member(std::string_view channel, const ChannelPosition& at, bool joined,
                            std::string_view member) {
  add(channel, at, joined ? Event::JOIN : Event::LEAVE, id_of(member), member, true);
}

void EventBlock::add_reset(std::string_view channel, const ChannelPosition& at) {
  add(channel, at, Event::RESET, {}, {}, false);
}

void EventBlock::add_presence_reset(std::string_view channel, const ChannelPosition& at) {
  add(channel, at, Event::RESET, "presence", {}, true);
}

void EventBlock::add_end(std::string_view channel, const ChannelPosition& at) {
  add(channel, at, Event::END, {}, {}, false);
}

}  // namespace raymesh::gateway
