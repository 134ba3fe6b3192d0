#include "libs/rpc/http2_session.hpp"

#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <cstring>
#include <new>

#include "libs/rpc/byte_queue.hpp"
#include "libs/rpc/grpc_wire.hpp"

namespace raymesh::rpc {
namespace {

// So much may be under way without a WINDOW_UPDATE: a chunked transfer is paced by its own credit
// (calls.proto), so these only have to be out of its way.
constexpr int32_t kStreamWindow = 4 << 20;
constexpr int32_t kConnectionWindow = 16 << 20;
// SETTINGS and PING frames that wait for our acknowledgement; a flood of them ends the connection.
constexpr size_t kMaxUnsentAcks = 256;
// Frames without data that wait to be sent. Two for each stream and its window are what a fair
// client can make us queue; one that asks for more and takes nothing is after our memory.
constexpr size_t kMaxUnsentFrames = 16'384;

// RFC 9113 section 8.2: header names; nghttp2 checks the rest.
nghttp2_nv pair(const Header& header) {
  return {reinterpret_cast<uint8_t*>(const_cast<char*>(header.name.data())),
          reinterpret_cast<uint8_t*>(const_cast<char*>(header.value.data())), header.name.size(),
          header.value.size(), NGHTTP2_NV_FLAG_NONE};
}

std::vector<nghttp2_nv> pairs(const Headers& headers) {
  std::vector<nghttp2_nv> out;
  out.reserve(headers.size());
  for (const Header& header : headers) out.push_back(pair(header));
  return out;
}

}  // namespace

struct Http2Session::Stream {
  StreamId id = 0;
  std::shared_ptr<StreamHandler> handler;

  // Coming in.
  Headers headers;
  size_t header_bytes = 0;
  size_t max_message_bytes = 0;
  std::string incoming;  // a message that is not complete, with its prefix; all, while paused
  size_t kept = 0;       // bytes that the handler keeps
  bool refused = false;  // answered; what still comes is thrown away
  bool paused = false;
  size_t shut = 0;        // bytes that came while paused: the window that was not given back
  bool end_came = false;  // while paused

  // Going out.
  ByteQueue out;
  bool has_body = false;  // headers were sent, a data provider is there
  bool waiting = false;   // the data provider has nothing to give
  bool ended = false;
  Headers trailers;
};

struct Http2Session::Callbacks {
  static Http2Session& self(void* user) { return *static_cast<Http2Session*>(user); }

  static int on_begin_headers(nghttp2_session*, const nghttp2_frame* frame, void* user) {
    if (frame->hd.type != NGHTTP2_HEADERS) return 0;
    Http2Session& s = self(user);
    if (Stream* stream = s.find(frame->hd.stream_id)) {
      stream->headers.clear();
      stream->header_bytes = 0;
      return 0;
    }
    if (s.side_ == Side::kClient) return 0;
    auto stream = std::make_unique<Stream>();
    stream->id = frame->hd.stream_id;
    stream->max_message_bytes = s.limits_.max_message_bytes;
    s.streams_.emplace(stream->id, std::move(stream));
    return 0;
  }

  static int on_header(nghttp2_session*, const nghttp2_frame* frame, const uint8_t* name,
                       size_t name_size, const uint8_t* value, size_t value_size, uint8_t,
                       void* user) {
    Http2Session& s = self(user);
    Stream* stream = s.find(frame->hd.stream_id);
    if (!stream) return 0;
    // RFC 9113 section 6.5.2: an entry counts for 32 bytes more than its text.
    stream->header_bytes += name_size + value_size + 32;
    if (stream->header_bytes > s.limits_.max_header_bytes)
      return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    stream->headers.push_back({{reinterpret_cast<const char*>(name), name_size},
                               {reinterpret_cast<const char*>(value), value_size}});
    return 0;
  }

  static int on_frame(nghttp2_session*, const nghttp2_frame* frame, void* user) {
    Http2Session& s = self(user);
    const bool headers = frame->hd.type == NGHTTP2_HEADERS;
    if (!headers && frame->hd.type != NGHTTP2_DATA) return 0;
    Stream* stream = s.find(frame->hd.stream_id);
    if (!stream) return 0;
    if (headers) {
      const Headers received = std::move(stream->headers);
      stream->headers.clear();
      if (s.side_ == Side::kServer && frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
        auto handler = s.on_request_head(stream->id, received, stream->max_message_bytes);
        stream->refused = handler == nullptr;
        stream->handler = std::move(handler);
      } else if (stream->handler) {
        const auto keep = stream->handler;
        keep->on_headers(received);
      }
    }
    if (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) s.on_end(*stream);
    return 0;
  }

  static int on_data_chunk(nghttp2_session*, uint8_t, int32_t id, const uint8_t* data, size_t size,
                           void* user) {
    Http2Session& s = self(user);
    // Streams that are paused must not keep the others from sending.
    nghttp2_session_consume_connection(s.session_, size);
    if (Stream* stream = s.find(id))
      s.on_chunk(*stream, {reinterpret_cast<const char*>(data), size});
    return 0;
  }

  static int on_stream_close(nghttp2_session*, int32_t id, uint32_t code, void* user) {
    Http2Session& s = self(user);
    auto it = s.streams_.find(id);
    if (it == s.streams_.end()) return 0;
    const auto stream = std::move(it->second);
    s.streams_.erase(it);
    s.drop_incoming(*stream);
    s.held_bytes_ -= stream->kept;
    s.unsent_bytes_ -= stream->out.size();
    if (!stream->handler) return 0;
    stream->handler->on_closed(code == NGHTTP2_NO_ERROR ? std::string()
                                                        : std::string("the stream was reset: ") +
                                                              nghttp2_http2_strerror(code));
    return 0;
  }

  static ssize_t read_body(nghttp2_session*, int32_t, uint8_t* buffer, size_t size, uint32_t* flags,
                           nghttp2_data_source* source, void* user) {
    Http2Session& s = self(user);
    auto& stream = *static_cast<Stream*>(source->ptr);
    const size_t n = std::min(size, stream.out.size());
    std::memcpy(buffer, stream.out.view().data(), n);
    stream.out.take(n);
    s.unsent_bytes_ -= n;
    if (!stream.out.empty()) return static_cast<ssize_t>(n);
    if (stream.ended) {
      *flags |= NGHTTP2_DATA_FLAG_EOF;
      if (!stream.trailers.empty()) {
        *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
        const auto nv = pairs(stream.trailers);
        nghttp2_submit_trailer(s.session_, stream.id, nv.data(), nv.size());
      }
      return static_cast<ssize_t>(n);
    }
    if (n > 0) {
      if (stream.handler) s.drained_.push_back(stream.handler);
      return static_cast<ssize_t>(n);
    }
    stream.waiting = true;
    return NGHTTP2_ERR_DEFERRED;
  }

  // RFC 9113 section 8.1: a server that has said all while the client has not asks it to stop.
  // Without this the stream would stay open for as long as the client likes.
  static int on_frame_sent(nghttp2_session* session, const nghttp2_frame* frame, void*) {
    if ((frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA) &&
        frame->hd.flags & NGHTTP2_FLAG_END_STREAM &&
        nghttp2_session_get_stream_remote_close(session, frame->hd.stream_id) == 0)
      nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id, NGHTTP2_NO_ERROR);
    return 0;
  }
};

Http2Session::Http2Session(Side side, const Http2Limits& limits) : side_(side), limits_(limits) {
  nghttp2_session_callbacks* callbacks = nullptr;
  if (nghttp2_session_callbacks_new(&callbacks) != 0) throw std::bad_alloc();
  nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, Callbacks::on_begin_headers);
  nghttp2_session_callbacks_set_on_header_callback(callbacks, Callbacks::on_header);
  nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, Callbacks::on_frame);
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, Callbacks::on_data_chunk);
  nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, Callbacks::on_stream_close);
  if (side == Side::kServer)
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, Callbacks::on_frame_sent);
  nghttp2_option* options = nullptr;
  if (nghttp2_option_new(&options) != 0) throw std::bad_alloc();
  nghttp2_option_set_max_outbound_ack(options, kMaxUnsentAcks);
  nghttp2_option_set_no_closed_streams(options, 1);
  nghttp2_option_set_no_auto_window_update(options, 1);
  const int failed = side == Side::kServer
                         ? nghttp2_session_server_new2(&session_, callbacks, this, options)
                         : nghttp2_session_client_new2(&session_, callbacks, this, options);
  nghttp2_option_del(options);
  nghttp2_session_callbacks_del(callbacks);
  if (failed) throw std::bad_alloc();
  const nghttp2_settings_entry settings[] = {
      {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, side == Side::kServer ? limits.max_streams : 0},
      {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, kStreamWindow},
      {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, static_cast<uint32_t>(limits.max_header_bytes)},
      {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
  };
  // A server does not name ENABLE_PUSH (RFC 9113 section 6.5.2).
  nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, settings, side == Side::kServer ? 3 : 4);
  nghttp2_session_set_local_window_size(session_, NGHTTP2_FLAG_NONE, 0, kConnectionWindow);
}

Http2Session::~Http2Session() {
  nghttp2_session_del(session_);
}

Http2Session::Stream* Http2Session::find(StreamId id) const {
  auto it = streams_.find(id);
  return it == streams_.end() ? nullptr : it->second.get();
}

bool Http2Session::receive(std::string_view bytes) {
  const auto n = nghttp2_session_mem_recv(session_, reinterpret_cast<const uint8_t*>(bytes.data()),
                                          bytes.size());
  return n == static_cast<ssize_t>(bytes.size()) &&
         nghttp2_session_get_outbound_queue_size(session_) <= kMaxUnsentFrames;
}

void Http2Session::take_output(std::string& out, size_t max) {
  for (const size_t end = out.size() + max; out.size() < end;) {
    const uint8_t* data = nullptr;
    const ssize_t n = nghttp2_session_mem_send(session_, &data);
    if (n < 0) broken_ = true;
    if (n <= 0) return;
    out.append(reinterpret_cast<const char*>(data), static_cast<size_t>(n));
  }
}

bool Http2Session::finished() const {
  return broken_ ||
         (nghttp2_session_want_read(session_) == 0 && nghttp2_session_want_write(session_) == 0);
}

// ---- What comes in ----

bool Http2Session::refuse(Stream& stream, std::string_view why, bool too_large) {
  stream.refused = true;
  const auto handler = stream.handler;
  handler->on_bad_message(why, too_large);
  return false;
}

bool Http2Session::hold(Stream& stream, std::string_view data) {
  if (held_bytes_ + data.size() > limits_.max_held_bytes)
    return refuse(stream, "the connection holds too much in messages that are not complete", true);
  held_bytes_ += data.size();
  stream.incoming.append(data);
  return true;
}

void Http2Session::drop_incoming(Stream& stream) {
  held_bytes_ -= stream.incoming.size();
  std::string().swap(stream.incoming);  // assigning an empty one would keep the memory
}

void Http2Session::on_chunk(Stream& stream, std::string_view data) {
  if (stream.paused)
    stream.shut += data.size();
  else
    nghttp2_session_consume_stream(session_, stream.id, data.size());
  if (stream.handler && !stream.refused && !on_data(stream, data)) drop_incoming(stream);
}

bool Http2Session::on_data(Stream& stream, std::string_view data) {
  const auto handler = stream.handler;
  while (!data.empty()) {
    if (stream.paused) return hold(stream, data);
    if (stream.incoming.size() + data.size() < grpc_wire::kPrefixBytes) return hold(stream, data);
    // The prefix may have come in part before.
    char prefix[grpc_wire::kPrefixBytes];
    const size_t known = std::min(stream.incoming.size(), sizeof prefix);
    stream.incoming.copy(prefix, known);
    std::memcpy(prefix + known, data.data(), sizeof prefix - known);
    const auto head = grpc_wire::parse_prefix(prefix);
    if (head.compressed) return refuse(stream, "compressed messages are not taken", false);
    if (head.size > stream.max_message_bytes)
      return refuse(
          stream,
          "the message is larger than " + std::to_string(stream.max_message_bytes) + " bytes",
          true);
    const size_t whole = grpc_wire::kPrefixBytes + head.size;
    const size_t missing = whole - stream.incoming.size();
    if (data.size() < missing) return hold(stream, data);
    if (stream.incoming.empty()) {
      handler->on_message(data.substr(grpc_wire::kPrefixBytes, head.size));
    } else {
      std::string message = std::move(stream.incoming);
      held_bytes_ -= message.size();
      stream.incoming.clear();
      message.append(data.substr(0, missing));
      handler->on_message(std::string_view(message).substr(grpc_wire::kPrefixBytes));
    }
    data.remove_prefix(missing);
    if (stream.refused) return false;
  }
  return true;
}

void Http2Session::on_end(Stream& stream) {
  if (!stream.handler || stream.refused) return;
  const auto handler = stream.handler;
  if (stream.paused)
    stream.end_came = true;
  else if (stream.incoming.empty())
    handler->on_end();
  else
    refuse(stream, "the message is shorter than it says", false);
}

void Http2Session::pause(StreamId id) {
  if (Stream* stream = find(id)) stream->paused = true;
}

void Http2Session::resume(StreamId id) {
  Stream* stream = find(id);
  if (!stream || !std::exchange(stream->paused, false)) return;
  const std::string waited = std::exchange(stream->incoming, {});
  held_bytes_ -= waited.size();
  const size_t shut = std::exchange(stream->shut, 0);
  if (stream->handler && !stream->refused && !on_data(*stream, waited)) drop_incoming(*stream);
  // Paused again: what waits here keeps its part of the window.
  if (stream->paused) stream->shut += std::min(shut, stream->incoming.size());
  nghttp2_session_consume_stream(session_, id, shut - stream->shut);
  if (!stream->paused && stream->end_came) on_end(*stream);
}

bool Http2Session::keep(StreamId id, size_t bytes) {
  Stream* stream = find(id);
  if (!stream || held_bytes_ + bytes > limits_.max_held_bytes) return false;
  stream->kept += bytes;
  held_bytes_ += bytes;
  return true;
}

void Http2Session::let_go(StreamId id) {
  if (Stream* stream = find(id)) held_bytes_ -= std::exchange(stream->kept, 0);
}

void Http2Session::close_all(std::string_view reason) {
  auto streams = std::move(streams_);
  streams_.clear();
  held_bytes_ = unsent_bytes_ = 0;
  drained_.clear();
  for (auto& [id, stream] : streams)
    if (stream->handler) stream->handler->on_closed(reason);
}

// ---- What goes out ----

Http2Session::StreamId Http2Session::open(const Headers& headers,
                                          std::shared_ptr<StreamHandler> handler) {
  auto stream = std::make_unique<Stream>();
  stream->max_message_bytes = limits_.max_message_bytes;
  stream->handler = std::move(handler);
  stream->has_body = true;
  nghttp2_data_provider body{{.ptr = stream.get()}, Callbacks::read_body};
  const auto nv = pairs(headers);
  const int32_t id =
      nghttp2_submit_request(session_, nullptr, nv.data(), nv.size(), &body, nullptr);
  if (id < 0) return 0;
  stream->id = id;
  streams_.emplace(id, std::move(stream));
  return id;
}

void Http2Session::send_headers(StreamId id, const Headers& headers) {
  Stream* stream = find(id);
  if (!stream || stream->has_body) return;
  stream->has_body = true;
  nghttp2_data_provider body{{.ptr = stream}, Callbacks::read_body};
  const auto nv = pairs(headers);
  nghttp2_submit_response(session_, id, nv.data(), nv.size(), &body);
}

void Http2Session::send_message(StreamId id, std::string_view message) {
  Stream* stream = find(id);
  if (!stream || stream->ended) return;
  grpc_wire::append_prefix(stream->out.tail(), message.size());
  stream->out.tail().append(message);
  unsent_bytes_ += grpc_wire::kPrefixBytes + message.size();
  if (std::exchange(stream->waiting, false)) nghttp2_session_resume_data(session_, id);
}

void Http2Session::send_end(StreamId id, const Headers& trailers) {
  Stream* stream = find(id);
  if (!stream || std::exchange(stream->ended, true)) return;
  stream->trailers = trailers;
  if (std::exchange(stream->waiting, false)) nghttp2_session_resume_data(session_, id);
}

void Http2Session::send_failure(StreamId id, const Error& error) {
  Stream* stream = find(id);
  if (!stream) return;
  stream->refused = true;
  drop_incoming(*stream);
  if (stream->has_body) return send_end(id, grpc_wire::error_trailers(error));
  stream->has_body = stream->ended = true;
  const Headers headers = grpc_wire::error_answer(error);
  const auto nv = pairs(headers);
  nghttp2_submit_response(session_, id, nv.data(), nv.size(), nullptr);
}

size_t Http2Session::unsent(StreamId id) const {
  const Stream* stream = find(id);
  return stream ? stream->out.size() : 0;
}

void Http2Session::ping() {
  nghttp2_submit_ping(session_, NGHTTP2_FLAG_NONE, nullptr);
}

void Http2Session::go_away() {
  nghttp2_submit_goaway(session_, NGHTTP2_FLAG_NONE,
                        nghttp2_session_get_last_proc_stream_id(session_), NGHTTP2_NO_ERROR,
                        nullptr, 0);
}

bool Http2Session::busy() const {
  return std::any_of(streams_.begin(), streams_.end(), [](const auto& entry) {
    const auto& handler = entry.second->handler;
    return handler && handler->holds_up_the_end();
  });
}

std::vector<std::shared_ptr<StreamHandler>> Http2Session::take_drained() {
  return std::exchange(drained_, {});
}

}  // namespace raymesh::rpc
