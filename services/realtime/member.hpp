// What a channel knows of a connection: who it is, for presence and for revoking. Made once per
// connection, once more for a subscription with data of its own, and for one that goes on as a
// member that another node has handed over; immutable, shared by the connection and the actors of
// its channels; any thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "services/realtime/connection_id.hpp"

namespace raymesh::realtime {

struct Member {
  ConnectionId connection;
  std::string id;        // random, the "id" of presence
  std::string identity;  // empty: anonymous
  std::string token_id;  // jti
  std::string key_id;
  std::string user;
  std::string session;
  std::string project;
  std::string data;       // JSON, shown in presence; empty: none
  int64_t issued_at = 0;  // of the token, Unix seconds
};
using MemberPtr = std::shared_ptr<const Member>;

/// The member itself, or a copy that is present under another id.
inline MemberPtr with_id(const MemberPtr& member, const std::string& id) {
  if (member->id == id) return member;
  auto copy = std::make_shared<Member>(*member);
  copy->id = id;
  return copy;
}

}  // namespace raymesh::realtime
