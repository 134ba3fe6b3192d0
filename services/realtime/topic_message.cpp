#include "services/realtime/topic_message.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <cstring>

namespace raymesh::realtime {
namespace {

static_assert(std::endian::native == std::endian::little);

enum Kind : uint8_t {
  kMessages = 1,
  kEvents = 2,
  kRevocation = 3,
  kClosed = 4,
  kPosition = 5,
  kRing = 6
};

template <class T>
void put(std::string& out, T value) {
  char bytes[sizeof(T)];
  std::memcpy(bytes, &value, sizeof value);
  out.append(bytes, sizeof bytes);
}

void put_text(std::string& out, std::string_view text) {
  put(out, static_cast<uint32_t>(text.size()));
  out += text;
}

// Takes from the front; once something was missing it stays bad.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : bytes_(bytes) {}

  template <class T>
  T take() {
    T value{};
    const std::string_view part = take(sizeof(T));
    if (good_) std::memcpy(&value, part.data(), sizeof value);
    return value;
  }
  std::string_view take(size_t size) {
    if (!good_ || bytes_.size() < size) {
      good_ = false;
      return {};
    }
    const std::string_view part = bytes_.substr(0, size);
    bytes_.remove_prefix(size);
    return part;
  }
  std::string_view take_text() { return take(take<uint32_t>()); }
  std::string_view rest() const { return bytes_; }
  bool good() const { return good_; }
  bool at_end() const { return good_ && bytes_.empty(); }

 private:
  std::string_view bytes_;
  bool good_ = true;
};

TopicMessage decode_messages(Reader in, NodeId self) {
  TopicMessages out;
  const auto epoch = parse_epoch(in.take(16));
  out.first.offset = in.take<uint64_t>();
  const auto node = in.take<uint64_t>();
  const auto connection = in.take<uint64_t>();
  const auto sent = in.take<uint64_t>();
  const auto count = in.take<uint32_t>();
  if (!epoch || !in.good() || count == 0 || in.rest().size() / 4 < count) return {};
  out.first.epoch = *epoch;
  if (node == self) out.sent = sent;
  std::vector<uint32_t> ends(count);
  std::memcpy(ends.data(), in.take(size_t{4} * count).data(), size_t{4} * count);
  uint64_t end = 0;
  for (uint32_t& size : ends) {
    end += size;
    size = static_cast<uint32_t>(end);
  }
  if (end != in.rest().size() || end > UINT32_MAX) return {};
  out.batch = std::make_shared<PublishBatch>(
      node == self ? ConnectionId::from_bits(connection) : ConnectionId{}, std::string(in.rest()),
      std::move(ends));
  return out;
}

TopicMessage decode_events(Reader in) {
  std::vector<TopicEvent> out;
  const auto count = in.take<uint32_t>();
  for (uint32_t i = 0; i < count && in.good(); ++i) {
    TopicEvent event;
    event.joined = in.take<uint8_t>() != 0;
    event.member_json = in.take_text();
    out.push_back(event);
  }
  if (!in.at_end()) return {};
  return out;
}

}  // namespace

std::string node_text(NodeId id) {
  return epoch_text(id);
}

std::optional<NodeId> parse_node(std::string_view text) {
  return parse_epoch(text);
}

std::string encode_body(const PublishBatch& batch, NodeId node, uint64_t sent) {
  std::string out;
  out.reserve(28 + 4 * batch.count() + batch.bytes());
  put(out, node);
  put(out, batch.origin().bits());
  put(out, sent);
  put(out, static_cast<uint32_t>(batch.count()));
  for (size_t i = 0; i < batch.count(); ++i)
    put(out, static_cast<uint32_t>(batch.payload(i).size()));
  out += batch.all_payloads();
  return out;
}

TopicMessage decode_topic(std::string_view bytes, NodeId self) {
  Reader in(bytes);
  const auto kind = in.take<uint8_t>();
  if (kind == kMessages) return decode_messages(in, self);
  if (kind == kEvents) return decode_events(in);
  return {};
}

std::string encode_position_head(uint64_t number) {
  std::string out;
  put(out, static_cast<uint8_t>(kPosition));
  put(out, number);
  return out;
}

std::string encode(const RevocationMessage& message) {
  std::string out;
  put(out, static_cast<uint8_t>(kRevocation));
  put(out, message.number);
  put(out, message.tell);
  return out + encode(message.revocation);
}

std::string encode(const ClosedMessage& message) {
  std::string out;
  put(out, static_cast<uint8_t>(kClosed));
  put(out, message.number);
  put(out, message.node);
  put(out, message.closed);
  return out;
}

std::string encode(const RingMessage& message) {
  std::string out;
  put(out, static_cast<uint8_t>(kRing));
  put(out, message.version);
  return out;
}

ControlMessage decode_control(std::string_view bytes) {
  Reader in(bytes);
  const auto kind = in.take<uint8_t>();
  if (kind == kClosed) {
    ClosedMessage out;
    out.number = in.take<uint64_t>();
    out.node = in.take<uint64_t>();
    out.closed = in.take<uint64_t>();
    if (in.at_end()) return out;
  }
  if (kind == kPosition) {
    PositionMessage out;
    out.number = in.take<uint64_t>();
    const auto epoch = parse_epoch(in.take(16));
    out.at.offset = in.take<uint64_t>();
    if (epoch && in.at_end()) {
      out.at.epoch = *epoch;
      return out;
    }
  }
  if (kind == kRing) {
    RingMessage out;
    out.version = in.take<uint64_t>();
    if (in.at_end()) return out;
  }
  if (kind == kRevocation) {
    RevocationMessage out;
    out.number = in.take<uint64_t>();
    out.tell = in.take<uint64_t>();
    auto revocation = in.good() ? decode_revocation(in.rest()) : std::nullopt;
    if (!revocation) return {};
    out.revocation = std::move(*revocation);
    return out;
  }
  return {};
}

std::string encode(const Revocation& revocation) {
  std::string out;
  put(out, static_cast<uint8_t>(revocation.by));
  put(out, revocation.issued_by);
  put(out, revocation.keep_until);
  put_text(out, revocation.project);
  put_text(out, revocation.value);
  return out;
}

std::optional<Revocation> decode_revocation(std::string_view bytes) {
  Reader in(bytes);
  Revocation out;
  const auto by = in.take<uint8_t>();
  out.issued_by = in.take<int64_t>();
  out.keep_until = in.take<int64_t>();
  out.project = in.take_text();
  out.value = in.take_text();
  if (!in.at_end() || by > static_cast<uint8_t>(Revocation::By::kChannel)) return std::nullopt;
  out.by = static_cast<Revocation::By>(by);
  return out;
}

std::string_view json_of_member(std::string_view kept) {
  size_t identity = 0;
  const auto [end, error] = std::from_chars(kept.data(), kept.data() + kept.size(), identity);
  const auto head = static_cast<size_t>(end - kept.data()) + 1;
  if (error != std::errc() || head > kept.size() || *end != ':' || identity > kept.size() - head)
    return {};
  return kept.substr(head + identity);
}

std::string encode(const PresenceCursor& cursor) {
  return cursor.node.empty() ? std::string() : cursor.node + '.' + cursor.place;
}

std::optional<PresenceCursor> decode_cursor(std::string_view text) {
  if (text.empty()) return PresenceCursor{};
  const size_t dot = text.find('.');
  if (dot == std::string_view::npos) return std::nullopt;
  const std::string_view node = text.substr(0, dot);
  const std::string_view place = text.substr(dot + 1);
  const bool digits =
      !place.empty() && place.size() <= 20 &&
      std::all_of(place.begin(), place.end(), [](char c) { return c >= '0' && c <= '9'; });
  // 20 digits may be more than 64 bits, which Redis would refuse as no cursor.
  if (!digits || (place.size() == 20 && place > "18446744073709551615")) return std::nullopt;
  if (node != "h" && !parse_node(node)) return std::nullopt;
  return PresenceCursor{std::string(node), std::string(place)};
}

}  // namespace raymesh::realtime
