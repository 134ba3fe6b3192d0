// Cuts the bytes that Redis sends into replies: hiredis' redisReader, told to build our own Reply
// values, within limits that also a corrupt or hostile server cannot pass. One per connection, used
// by its I/O thread.
#pragma once

#include <cstddef>
#include <memory>
#include <string_view>

#include "libs/base/result.hpp"
#include "libs/redis/reply.hpp"

struct redisReader;

namespace raymesh::redis {

struct ReaderLimits {
  /// Bytes of one reply.
  size_t max_reply_bytes = 64u << 20;
  /// Elements of one reply, all of its arrays together.
  size_t max_elements = 1u << 20;
};

/// Takes messages of sharded subscriptions while they are parsed, so that nothing is copied and
/// nothing allocated. It must not destroy the reader.
class MessageSink {
 public:
  virtual ~MessageSink() = default;
  /// Both views are gone after the call.
  virtual void on_message(std::string_view topic, std::string_view payload) = 0;
};

class ReplyReader {
 public:
  /// Without a sink a message is a reply like any other.
  explicit ReplyReader(const ReaderLimits& limits = {}, MessageSink* sink = nullptr);
  ~ReplyReader();
  ReplyReader(const ReplyReader&) = delete;
  ReplyReader& operator=(const ReplyReader&) = delete;

  /// Fails when what has arrived is no RESP2 or above a limit: the connection is of no use any
  /// more.
  Status feed(std::string_view bytes);
  /// Moves the next complete reply into `out`; messages before it go to the sink. False when more
  /// bytes are needed.
  Result<bool> next(Reply& out);

 private:
  struct Builder;  // what hiredis calls back
  struct Free {
    void operator()(redisReader* reader) const;
  };

  const ReaderLimits limits_;
  std::unique_ptr<Builder> builder_;
  std::unique_ptr<redisReader, Free> reader_;
  size_t unread_ = 0;  // bytes fed since the last complete reply
};

}  // namespace raymesh::redis
