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
  Builder(size_t max, MessageSink* to) : max_elements(max), sink(to) {}

  static Reply* place(const redisReadTask* task) {
    auto* self = static_cast<Builder*>(task->privdata);
    if (task->parent == nullptr) {
      self->root = Reply{};
      return &self->root;
    }
    auto* array = static_cast<Reply*>(task->parent->obj);
    return &array->items[static_cast<size_t>(task->idx)];
  }

  // Parts of a message of a subscription: "smessage", topic, payload. The topic is kept, because
  // the payload may come with a later read.
  static void* create_message_part(Builder& self, const redisReadTask* task, char* text,
                                   size_t size) {
    if (task->idx == 1) self.topic.assign(text, size);
    if (task->idx == 2) {
      self.push = Push::kDone;
      self.sink->on_message(self.topic, {text, size});
    }
    return &self.root;
  }

  static void* create_string(const redisReadTask* task, char* text, size_t size) {
    auto* self = static_cast<Builder*>(task->privdata);
    if (self->push == Push::kMaybe) {
      const bool message = std::string_view(text, size) == "smessage";
      self->push = message ? Push::kYes : Push::kNo;
      if (!message) self->root.items.resize(3);
    }
    if (self->push == Push::kYes) return create_message_part(*self, task, text, size);
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
    if (self->sink != nullptr && task->parent == nullptr && size == 3)
      self->push = Push::kMaybe;
    else if (!self->settle())
      return nullptr;
    else
      reply->items.resize(size);
    return reply;
  }

  static void* create_integer(const redisReadTask* task, long long value) {
    if (!static_cast<Builder*>(task->privdata)->settle()) return nullptr;
    Reply* reply = place(task);
    reply->type = Reply::Type::kInteger;
    reply->integer = value;
    return reply;
  }

  static void* create_nil(const redisReadTask* task) {
    return static_cast<Builder*>(task->privdata)->settle() ? place(task) : nullptr;
  }

  // Everything lives in `root`.
  static void free_object(void*) {}

  // A part that is no string has come. False: inside a message, where there is none.
  bool settle() {
    if (push == Push::kMaybe) {
      push = Push::kNo;
      root.items.resize(3);
    }
    return push == Push::kNo;
  }

  enum class Push : uint8_t { kNo, kMaybe, kYes, kDone };

  const size_t max_elements;
  MessageSink* const sink;
  size_t elements = 0;
  Push push = Push::kNo;
  std::string topic;
  Reply root;
};

void ReplyReader::Free::operator()(redisReader* reader) const {
  redisReaderFree(reader);
}

ReplyReader::ReplyReader(const ReaderLimits& limits, MessageSink* sink)
    : limits_(limits), builder_(std::make_unique<Builder>(limits.max_elements, sink)) {
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
  for (;;) {
    void* reply = nullptr;
    if (redisReaderGetReply(reader_.get(), &reply) != REDIS_OK) {
      if (reader_->err == REDIS_ERR_OOM)
        return Error(errors::kUnavailable, "Redis sent a reply of more than " +
                                               std::to_string(limits_.max_elements) + " elements");
      return Error(errors::kUnavailable, std::string("Redis sent a bad reply: ") + reader_->errstr);
    }
    if (reply == nullptr) return false;
    builder_->elements = 0;
    unread_ = reader_->len - reader_->pos;
    if (std::exchange(builder_->push, Builder::Push::kNo) == Builder::Push::kDone) continue;
    out = std::move(builder_->root);
    return true;
  }
}

}  // namespace raymesh::redis
