#include "libs/pg/pipeline_connection.hpp"

#include <libpq-fe.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/socket.h>

#include <boost/asio/post.hpp>
#include <cerrno>

#include "libs/base/encoding.hpp"
#include "libs/crypto/random.hpp"

namespace raymesh::pg {
namespace {

constexpr size_t kReadChunk = 64u << 10;
// A long reply must not keep the thread from other connections.
constexpr size_t kBytesPerTurn = 4 * kReadChunk;
// What a steady burst needs is kept, what one huge request left behind is given back.
constexpr size_t kKeptBuffer = 256u << 10;

// What code of the project can leave behind in a session without touching its tables.
constexpr std::string_view kReset = "RESET ALL;UNLISTEN *;CLOSE ALL;DISCARD TEMP";

// The settings that PostgreSQL reports when they change (manual 55.2.6) and that the answers or the
// meaning of our statements depend on.
constexpr const char* kWatchedSettings[] = {
    "client_encoding",
    "DateStyle",
    "IntervalStyle",
    "TimeZone",
    "standard_conforming_strings",
    "default_transaction_read_only",
    "session_authorization",
    "application_name",
};

bool is_unix_socket(int fd) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  return ::getpeername(fd, reinterpret_cast<sockaddr*>(&address), &size) == 0 &&
         address.ss_family == AF_UNIX;
}

}  // namespace

PipelineConnection::PipelineConnection(boost::asio::io_context& io, ConnectionHandle connection,
                                       Owner& owner, const ConnectionLimits& limits)
    : io_(io),
      connection_(std::move(connection)),
      ssl_(PQsslInUse(connection_.get()) ? PQgetssl(connection_.get()) : nullptr),
      owner_(owner),
      limits_(limits),
      descriptor_(io),
      is_unix_(is_unix_socket(PQsocket(connection_.get()))),
      backend_pid_(PQbackendPID(connection_.get())),
      opened_at_(Clock::now()),
      prepared_(limits.prepared_statements),
      name_prefix_("r" + hex_encode(crypto::random_bytes(8)) + "_"),
      reader_(limits.max_row_bytes) {
  for (const char* name : kWatchedSettings) {
    if (const char* value = PQparameterStatus(connection_.get(), name)) {
      initial_settings_[name] = value;
    }
  }
}

PipelineConnection::~PipelineConnection() {
  shut();
}

void PipelineConnection::start() {
  boost::system::error_code ec;
  descriptor_.assign(PQsocket(connection_.get()), ec);
  if (ec) {
    boost::asio::post(io_, [self = shared_from_this(), ec] {
      self->lose("cannot watch the socket: " + ec.message());
    });
    return;
  }
  wait_readable();
}

void PipelineConnection::send(RequestPtr request) {
  append(std::move(request));
  schedule_flush();
}

void PipelineConnection::append(RequestPtr request) {
  const bool reset = request->runs_foreign_code;
  ++statements_run_;
  Entry entry;
  entry.is_write = request->is_write;
  if (entry.is_write) ++writes_in_flight_;
  entry.prepared = prepare(*request);
  append_bind(out_, entry.prepared->name, request->parameters);
  append_execute(out_);
  append_sync(out_);
  entry.request = std::move(request);
  push_entry(std::move(entry));
  if (reset) {
    append_query(out_, kReset);
    Entry own;
    own.is_reset = true;
    ++resets_in_flight_;
    push_entry(std::move(own));
  }
}

PipelineConnection::PreparedPtr PipelineConnection::prepare(const Request& request) {
  if (PreparedPtr* found = prepared_.get(request.key)) return *found;
  auto prepared = std::make_shared<Prepared>();
  if (request.sql_size <= limits_.max_prepared_sql) {
    if (prepared_.size() >= prepared_.capacity()) {
      if (auto oldest = prepared_.pop_oldest()) {
        append_close_statement(out_, oldest->second->name);
      }
    }
    prepared->name = name_prefix_ + std::to_string(names_used_++);
    prepared->key = request.key;
    prepared_.put(request.key, prepared);
  }
  append_parse(out_, prepared->name, request.sql(), request.parameters);
  append_describe_statement(out_, prepared->name);
  return prepared;
}

void PipelineConnection::forget_statements() {
  if (prepared_.size() == 0) return;
  while (auto oldest = prepared_.pop_oldest()) append_close_statement(out_, oldest->second->name);
  append_sync(out_);
  push_entry({});
  schedule_flush();
}

void PipelineConnection::push_entry(Entry entry) {
  if (entries_.empty()) {
    head_since_ = Clock::now();
    entry.started_tainted = !changed_settings_.empty();
  }
  entry.end_offset = offset_ + out_.size();
  entries_.push_back(std::move(entry));
}

std::vector<RequestPtr> PipelineConnection::take_reads_behind_head() {
  std::vector<RequestPtr> taken;
  for (size_t i = 1; i < entries_.size(); ++i) {
    Request* request = entries_[i].request.get();
    if (request == nullptr || request->attempts > 1) continue;
    if (request->is_write || request->runs_foreign_code) continue;  // it might run twice
    taken.push_back(std::move(entries_[i].request));
  }
  return taken;
}

void PipelineConnection::schedule_flush() {
  if (flush_scheduled_ || processing_ || waiting_writable_) return;
  flush_scheduled_ = true;
  boost::asio::post(io_, [self = shared_from_this()] {
    self->flush_scheduled_ = false;
    if (self->open_) self->flush();
  });
}

void PipelineConnection::flush() {
  while (out_written_ < out_.size()) {
    const ssize_t n = write_some(std::string_view(out_).substr(out_written_));
    if (n < 0) {
      // What the server said before it closed may still be readable: let the reader find the end.
      write_failed_ = true;
      read_available();
      if (open_) lose("the connection broke while writing");
      return;
    }
    if (n == 0) {
      wait_writable();
      return;
    }
    out_written_ += static_cast<size_t>(n);
  }
  offset_ += out_.size();
  out_written_ = 0;
  out_.clear();
  if (out_.capacity() > kKeptBuffer) std::string().swap(out_);
}

void PipelineConnection::wait_writable() {
  if (waiting_writable_) return;
  waiting_writable_ = true;
  descriptor_.async_wait(descriptor_.wait_write,
                         [self = shared_from_this()](boost::system::error_code ec) {
                           self->waiting_writable_ = false;
                           if (!ec && self->open_) self->flush();
                         });
}

void PipelineConnection::wait_readable() {
  descriptor_.async_wait(descriptor_.wait_read,
                         [self = shared_from_this()](boost::system::error_code ec) {
                           if (ec || !self->open_) return;
                           self->read_turn();
                         });
}

void PipelineConnection::read_turn() {
  if (!open_) return;
  const bool has_more = read_available();
  if (!open_) return;
  if (has_more) {
    boost::asio::post(io_, [self = shared_from_this()] { self->read_turn(); });
  } else {
    wait_readable();
  }
}

bool PipelineConnection::read_available() {
  processing_ = true;
  progress_ = false;
  size_t bytes = 0;
  bool has_more = true;
  while (bytes < kBytesPerTurn) {
    const std::span<char> room = reader_.prepare(kReadChunk);
    const ssize_t n = read_some(room);
    if (n < 0) {
      processing_ = false;
      lose(fatal_.empty() ? "the server closed the connection" : fatal_);
      return false;
    }
    if (n == 0) {
      has_more = false;
      break;
    }
    bytes += static_cast<size_t>(n);
    reader_.commit(static_cast<size_t>(n));
    MessageReader::Message message;
    auto next = MessageReader::Next::kNeedMore;
    while (open_ && (next = reader_.next(message)) == MessageReader::Next::kMessage) {
      if (!handle(message)) {
        processing_ = false;
        lose("the server sent what the protocol does not allow here");
        return false;
      }
    }
    if (!open_) break;
    if (next == MessageReader::Next::kMalformed) {
      processing_ = false;
      lose("the server sent a malformed message");
      return false;
    }
    // TLS keeps decrypted bytes that the socket's readiness does not show.
    if (ssl_ == nullptr && static_cast<size_t>(n) < room.size()) {
      has_more = false;
      break;
    }
  }
  processing_ = false;
  if (!open_) return false;
  if (!has_more) reader_.release_above(kKeptBuffer);
  if (progress_) owner_.on_progress(*this);
  if (open_ && out_written_ < out_.size() && !waiting_writable_ && !write_failed_) flush();
  return has_more;
}

bool PipelineConnection::handle(const MessageReader::Message& message) {
  switch (message.type) {
    case 'N':  // NoticeResponse
    case 'A':  // NotificationResponse
      return true;
    case 'S':
      handle_parameter(message.body);
      return true;
    case 'E':
      handle_error(message.body);
      return true;
    default:
      break;
  }
  if (entries_.empty()) return false;
  Entry& head = entries_.front();
  switch (message.type) {
    case 'D':
      if (message.oversized) {
        if (head.request) head.request->sink->oversized_row();
        head.wants_rows = false;
        return true;
      }
      return handle_row(head, message.body);
    case '2':  // BindComplete
      head.began = true;
      if (head.request && head.prepared) head.request->sink->begin(head.prepared->columns);
      return true;
    case 'C':  // CommandComplete
      head.affected_rows = parse_affected(message.body.substr(0, message.body.find('\0')));
      return true;
    case 'Z':
      return message.body.size() == 1 && finish_head(message.body[0]);
    case 'T':
      if (!head.prepared) return true;
      head.prepared->described = true;
      return parse_row_description(message.body, head.prepared->columns.columns);
    case '1':  // ParseComplete
    case '3':  // CloseComplete
    case 'n':  // NoData
    case 't':  // ParameterDescription
    case 'I':  // EmptyQueryResponse
      return true;
    default:  // COPY among others: nothing that our statements lead to
      return false;
  }
}

bool PipelineConnection::handle_row(Entry& entry, std::string_view body) {
  if (!entry.request || !entry.prepared || !entry.wants_rows) return true;
  if (!parse_data_row(body, fields_)) return false;
  if (fields_.size() != entry.prepared->columns.columns.size()) return false;
  entry.wants_rows = entry.request->sink->row(fields_);
  return true;
}

void PipelineConnection::handle_error(std::string_view body) {
  auto error = std::make_unique<ServerError>(parse_error(body));
  if (error->is_fatal()) {
    fatal_ = error->message;
    return;  // the end of the stream follows
  }
  if (!entries_.empty()) entries_.front().error = std::move(error);
}

void PipelineConnection::handle_parameter(std::string_view body) {
  const size_t zero = body.find('\0');
  if (zero == std::string_view::npos) return;
  const std::string_view name = body.substr(0, zero);
  body.remove_prefix(zero + 1);
  const std::string_view value = body.substr(0, body.find('\0'));
  auto initial = initial_settings_.find(name);
  if (initial == initial_settings_.end()) return;
  if (initial->second == value) {
    if (auto it = changed_settings_.find(name); it != changed_settings_.end()) {
      changed_settings_.erase(it);
    }
  } else {
    changed_settings_.insert_or_assign(std::string(name), std::string(value));
  }
}

bool PipelineConnection::finish_head(char transaction_status) {
  // Only our own BEGIN could leave a transaction open, and there is none.
  if (transaction_status != 'I') return false;
  Entry entry = std::move(entries_.front());
  entries_.pop_front();
  if (entry.is_write) --writes_in_flight_;
  progress_ = true;
  if (!entries_.empty()) {
    head_since_ = Clock::now();
    entries_.front().started_tainted = !changed_settings_.empty();
  }
  deliver(std::move(entry));
  return true;
}

void PipelineConnection::deliver(Entry entry) {
  if (entry.error && entry.prepared && !entry.began) {
    // Parse or Bind failed. After a failed Parse there is no such statement; 26000 says that it has
    // gone, because code of the project ran DEALLOCATE.
    PreparedPtr* cached = prepared_.get(entry.prepared->key);
    const bool is_gone = entry.error->sqlstate == "26000";
    if (cached && *cached == entry.prepared && (is_gone || !entry.prepared->described)) {
      prepared_.erase(entry.prepared->key);
    }
    if (is_gone && entry.request && open_ && !entry.prepared->name.empty()) {
      send(std::move(entry.request));
      return;
    }
  }
  if (entry.is_reset) {
    --resets_in_flight_;
    if (entry.error) tainted_ = true;
  }
  if (!entry.request) return;
  if (entry.started_tainted && !entry.request->is_write) {
    owner_.on_suspect(std::move(entry.request));
    return;
  }
  Outcome outcome;
  if (entry.error) {
    outcome.kind = Outcome::Kind::kRefused;
    outcome.server_error = std::move(entry.error);
  } else {
    outcome.kind = Outcome::Kind::kDone;
    outcome.affected_rows = entry.affected_rows;
  }
  entry.request->sink->done(std::move(outcome));
}

void PipelineConnection::lose(std::string reason) {
  if (!open_) return;
  auto self = shared_from_this();  // the owner drops its reference
  if (!entries_.empty() && entries_.front().error && entries_.front().request) {
    // It failed, so its transaction did, whether its Sync came back or not.
    Entry refused = std::move(entries_.front());
    entries_.front() = Entry{};
    Outcome outcome;
    outcome.kind = Outcome::Kind::kRefused;
    outcome.server_error = std::move(refused.error);
    refused.request->sink->done(std::move(outcome));
    if (!open_) return;
  }
  owner_.on_lost(*this, shut(), std::move(reason));
}

std::vector<PipelineConnection::Unanswered> PipelineConnection::close() {
  return shut();
}

std::vector<PipelineConnection::Unanswered> PipelineConnection::shut() {
  if (!open_) return {};
  open_ = false;
  if (descriptor_.is_open()) descriptor_.release();
  connection_.reset();
  const uint64_t sent = offset_ + out_written_;
  std::vector<Unanswered> unanswered;
  for (size_t i = 0; i < entries_.size(); ++i) {
    Entry& entry = entries_[i];
    if (!entry.request) continue;
    const bool is_first_to_run = i == 0 || !clean_end_;
    unanswered.push_back({std::move(entry.request), is_first_to_run && entry.end_offset <= sent});
  }
  entries_.clear();
  return unanswered;
}

ssize_t PipelineConnection::read_some(std::span<char> room) {
  if (ssl_ != nullptr) {
    ERR_clear_error();
    auto* ssl = static_cast<SSL*>(ssl_);
    const int n = SSL_read(ssl, room.data(), static_cast<int>(room.size()));
    if (n > 0) return n;
    const int why = SSL_get_error(ssl, n);
    clean_end_ = why == SSL_ERROR_ZERO_RETURN;
    return why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE ? 0 : -1;
  }
  const ssize_t n = ::recv(descriptor_.native_handle(), room.data(), room.size(), MSG_DONTWAIT);
  if (n > 0) return n;
  if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) return 0;
  // A unix socket hands out everything that was sent before it reports the reset that unread
  // requests at the other end cause; TCP may lose bytes then.
  clean_end_ = n == 0 || is_unix_;
  return -1;
}

ssize_t PipelineConnection::write_some(std::string_view bytes) {
  if (ssl_ != nullptr) {
    ERR_clear_error();
    auto* ssl = static_cast<SSL*>(ssl_);
    // libpq asks for SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER; a repeated write is never shorter,
    // because the buffer only grows until it is written.
    const size_t most = std::min<size_t>(bytes.size(), 1u << 30);
    const int n = SSL_write(ssl, bytes.data(), static_cast<int>(most));
    if (n > 0) return n;
    const int why = SSL_get_error(ssl, n);
    return why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE ? 0 : -1;
  }
  const ssize_t n =
      ::send(descriptor_.native_handle(), bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  if (n > 0) return n;
  if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) return 0;
  return -1;
}

}  // namespace raymesh::pg
