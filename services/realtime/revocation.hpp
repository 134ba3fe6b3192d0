// Which tokens are good for nothing any more, and which connections end. Exactly one of the
// selectors is set. Values.
#pragma once

#include <cstdint>
#include <string>

namespace raymesh::realtime {

struct Revocation {
  enum class By : uint8_t { kTokenId, kIdentity, kUser, kSession, kChannel };

  std::string project;
  By by = By::kTokenId;
  std::string value;       // jti, identity, user, session or the channel's name
  int64_t issued_by = 0;   // Unix seconds: tokens issued up to then are concerned
  int64_t keep_until = 0;  // Unix seconds: every token that is concerned has expired by then
};

struct RevokeReport {
  uint64_t closed = 0;     // connections, or subscriptions when it was a channel
  uint64_t nodes = 0;      // that have answered, this one included
  uint64_t unreached = 0;  // nodes that have not answered in time; they act when they can
};

}  // namespace raymesh::realtime
