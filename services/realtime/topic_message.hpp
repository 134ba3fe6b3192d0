// What goes over Redis' topics between realtime nodes, and the texts that the redis broker keeps or
// gives out: encoding, and decoding that takes any bytes. Integers are little-endian. Pure
// functions; any thread.
//
//   messages       u8 1, epoch (16 hex digits), u64 first offset, body
//   body           u64 origin's node, u64 origin's connection, u64 origin's time (us),
//                  u32 count, u32 size each, payloads
//   member events  u8 2, u32 count, then for each: u8 joined, u32 size, JSON
//   revocation     u8 3, u64 number, u64 node to be told, revocation (the rest)
//   closed         u8 4, u64 number, u64 node that tells, u64 connections
//   position       u8 5, u64 number, epoch (16 hex digits), u64 offset
//   ring           u8 6, u64 version
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "services/realtime/position.hpp"
#include "services/realtime/publish_batch.hpp"
#include "services/realtime/revocation.hpp"

namespace raymesh::realtime {

/// Of a node, for as long as its process lives, or of one of its leases: random, not 0.
using NodeId = uint64_t;
std::string node_text(NodeId id);  // 16 hex digits
std::optional<NodeId> parse_node(std::string_view text);

/// The part of a topic's message that the publishing node makes; the script puts the rest before
/// it. `sent` is of a clock of the node's own, in microseconds.
std::string encode_body(const PublishBatch& batch, NodeId node, uint64_t sent);

struct TopicMessages {
  Position first;
  std::shared_ptr<const PublishBatch> batch;  // its origin is one of ours, or none
  uint64_t sent = 0;                          // 0: not by us
};
struct TopicEvent {
  bool joined = true;
  std::string_view member_json;
};
/// Of a channel's topic. Views are into `bytes`. monostate: not a message of ours.
using TopicMessage = std::variant<std::monostate, TopicMessages, std::vector<TopicEvent>>;
TopicMessage decode_topic(std::string_view bytes, NodeId self);

struct RevocationMessage {
  uint64_t number = 0;  // random, the revocation's own
  NodeId tell = 0;
  Revocation revocation;
};
struct ClosedMessage {
  uint64_t number = 0;
  NodeId node = 0;
  uint64_t closed = 0;
};
/// To a node itself, behind everything that its subscriptions have got until then.
struct PositionMessage {
  uint64_t number = 0;
  Position at;
};
/// There is a newer list of primaries.
struct RingMessage {
  uint64_t version = 0;
};
/// The part of it that the script completes.
std::string encode_position_head(uint64_t number);
std::string encode(const RevocationMessage& message);
std::string encode(const ClosedMessage& message);
std::string encode(const RingMessage& message);
using ControlMessage =
    std::variant<std::monostate, RevocationMessage, ClosedMessage, PositionMessage, RingMessage>;
ControlMessage decode_control(std::string_view bytes);

/// As it is kept.
std::string encode(const Revocation& revocation);
std::optional<Revocation> decode_revocation(std::string_view bytes);

/// The JSON of a member as Redis keeps it (<bytes>:<identity><json>); empty if it is none.
std::string_view json_of_member(std::string_view kept);

/// Where a read of presence goes on. Clients carry it and may send anything.
struct PresenceCursor {
  std::string node;  // incarnation, or h for members that were handed over; empty: the start
  std::string place = "0";
};
std::string encode(const PresenceCursor& cursor);
std::optional<PresenceCursor> decode_cursor(std::string_view text);

}  // namespace raymesh::realtime
