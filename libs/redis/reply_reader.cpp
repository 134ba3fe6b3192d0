#include "libs/redis/reply_reader.hpp"

#include <hiredis/read.h>

namespace raymesh::redis {
namespace {

// Room that the reader keeps between replies instead of giving it back to the allocator.
constexpr size_t kKeptBuffer = 256u << 10;

}  // namespace

// hiredis calls these for each part of a reply, in order. `task->parent->obj` is what the call for
// the enclosing array returned.
struct ReplyReader::Builder {
  explicit Builder(size_t max) : max_elements(max) {}

  static Reply* place(const redisReadTask* task) {
    auto* self = static_cast<Builder*>(task->privdata);
    if (task->parent == nullptr) {
      self->root = Reply{};
      return &self->root;
    }
    auto* array = static_cast<Reply*>(task->parent->obj);
    return &array->items[static_cast<size_t>(task->idx)];
  }

  static void* create_string(const redisReadTask* task, char* text, size_t size) {
    Reply* reply = place(task);
    reply->type = task->type == REDIS_REPLY_ERROR    ? Reply::Type::kError
                  : task->type == REDIS_REPLY_STATUS ? Reply::Type::kStatus
                                                     : Reply::Type::kString;
    reply->text.assign(text, size);
    return reply;
  }

  static void* create_array(const redisReadTask* task, int count) {
    auto* self = static_cast<Builder*>(task->privdata);
    auto size = static_cast<size_t>(count);
    if (count < 0 || size > self->max_elements - self->elements) return nullptr;
    self->elements += size;
    Reply* reply = place(task);
    reply->type = Reply::Type::kArray;
    reply->items.resize(size);
    return reply;
  }

  static void* create_integer(const redisReadTask* task, long long value) {
    Reply* reply = place(task);
    reply->type = Reply::Type::kInteger;
    reply->integer = value;
    return reply;
  }

  static void* create_nil(const redisReadTask* task) { return place(task); }

  // Everything lives in `root`.
  static void free_object(void*) {}

  const size_t max_elements;
  size_t elements = 0;
  Reply root;
};

void ReplyReader::Free::operator()(redisReader* reader) const {
  redisReaderFree(reader);
}

ReplyReader::ReplyReader(const ReaderLimits& limits)
    : limits_(limits), builder_(std::make_unique<Builder>(limits.max_elements)) {
  static redisReplyObjectFunctions functions = {Builder::create_string, Builder::create_array,
                                                Builder::create_integer, Builder::create_nil,
                                                Builder::free_object};
  reader_.reset(redisReaderCreateWithFunctions(&functions));
  if (!reader_) throw std::bad_alloc();
  reader_->privdata = builder_.get();
  reader_->maxbuf = kKeptBuffer;
}

ReplyReader::~ReplyReader() = default;

Status ReplyReader::feed(std::string_view bytes) {
  // Counted instead of asking the reader: while a reply is incomplete, hiredis drops what it has
  // parsed of it from its buffer.
  unread_ += bytes.size();
  if (unread_ - bytes.size() > limits_.max_reply_bytes)
    return Error(errors::kUnavailable, "Redis sent a reply of more than " +
                                           std::to_string(limits_.max_reply_bytes) + " bytes");
  if (redisReaderFeed(reader_.get(), bytes.data(), bytes.size()) != REDIS_OK)
    return Error(errors::kUnavailable, std::string("Redis sent a bad reply: ") + reader_->errstr);
  return ok_status();
}

Result<bool> ReplyReader::next(Reply& out) {
  void* reply = nullptr;
  if (redisReaderGetReply(reader_.get(), &reply) != REDIS_OK) {
    if (reader_->err == REDIS_ERR_OOM)
      return Error(errors::kUnavailable, "Redis sent a reply of more than " +
                                             std::to_string(limits_.max_elements) + " elements");
    return Error(errors::kUnavailable, std::string("Redis sent a bad reply: ") + reader_->errstr);
  }
  if (reply == nullptr) return false;
  out = std::move(builder_->root);
  builder_->elements = 0;
  unread_ = reader_->len - reader_->pos;
  return true;
}

}  // namespace raymesh::redis
