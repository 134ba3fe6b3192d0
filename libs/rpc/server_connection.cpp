#include "libs/rpc/server_connection.hpp"

#include <algorithm>

#include "libs/rpc/calls_stream.hpp"
#include "libs/rpc/grpc_wire.hpp"
#include "libs/rpc/unary_call.hpp"

namespace raymesh::rpc {
namespace {

// For calls without a deadline: a bound all the same.
constexpr std::chrono::nanoseconds kMaxTimeout = std::chrono::minutes(10);
// A request of health or reflection is a name. Nobody has asked who the caller is.
constexpr size_t kMaxStandardMessage = 4u << 10;

Http2Limits limits_of(const Dispatcher& dispatcher) {
  Http2Limits limits;
  limits.max_message_bytes = dispatcher.limits().max_unary_bytes;
  return limits;
}

}  // namespace

ServerConnection::ServerConnection(net::Loop& loop, int fd, ssl_st* tls, bool in_process,
                                   Doors& doors)
    : Http2Connection(loop, fd, tls, Side::kServer, limits_of(*doors.dispatcher)),
      doors_(doors),
      deadline_timer_(loop.timer()) {
  proof_.in_process = in_process;
}

ServerConnection::~ServerConnection() = default;

bool ServerConnection::on_ready() {
  proof_.certificate = peer_names();
  return true;
}

void ServerConnection::on_connection_closed() {
  deadline_timer_.reset();
  deadlines_.clear();
  doors_.closed(this);
}

std::shared_ptr<StreamHandler> ServerConnection::on_request_head(StreamId stream,
                                                                 const Headers& headers,
                                                                 size_t& max_message_bytes) {
  auto opened = open_door(stream, headers, max_message_bytes);
  if (opened.ok()) return *opened;
  doors_.dispatcher->probe().refused(*opened.error().kind);
  send_failure(stream, opened.error());
  return nullptr;
}

ServerConnection::Opened ServerConnection::open_door(StreamId stream, const Headers& headers,
                                                     size_t& max_message_bytes) {
  if (find_header(headers, ":method") != "POST" ||
      !find_header(headers, "content-type").starts_with("application/grpc"))
    return Error(errors::kInvalidRequest, "this port speaks gRPC");
  const std::string_view path = find_header(headers, ":path");
  if (auto standard = doors_.standard->open(path, *this, stream)) {
    max_message_bytes = kMaxStandardMessage;
    return standard;
  }
  Proof proof = proof_;
  proof.authorization = find_header(headers, "authorization");
  proof.cluster_key = find_header(headers, kClusterKeyMetadata);
  RAYMESH_TRY(Caller caller, doors_.dispatcher->identify(proof));

  const std::string prefix = "/" + doors_.service + "/";
  if (!path.starts_with(prefix))
    return Error(errors::kUnknownMethod,
                 "no service for " + std::string(path.substr(0, frames::kMaxText)));
  const std::string_view name = path.substr(prefix.size());
  if (name == "Calls") {
    max_message_bytes = frames::kMaxMessageBytes;
    return open_calls(stream, std::move(caller));
  }
  RAYMESH_TRY(const StreamMethod* streamed, doors_.dispatcher->authorize_stream(name, caller));
  if (!streamed) return open_unary(stream, headers, name, std::move(caller));
  max_message_bytes = streamed->max_message_bytes;
  return streamed->open(*this, stream);
}

ServerConnection::Opened ServerConnection::open_calls(StreamId stream, Caller caller) {
  auto calls = std::make_shared<CallsStream>(*doors_.dispatcher, std::move(caller), *this, stream);
  RAYMESH_CHECK_OK(doors_.dispatcher->open_stream(calls));
  calls->start();
  return std::shared_ptr<StreamHandler>(std::move(calls));
}

ServerConnection::Opened ServerConnection::open_unary(StreamId stream, const Headers& headers,
                                                      std::string_view name, Caller caller) {
  RAYMESH_TRY(const Method* method, doors_.dispatcher->authorize(name, caller));
  std::chrono::nanoseconds timeout = kMaxTimeout;
  if (const std::string_view text = find_header(headers, "grpc-timeout"); !text.empty()) {
    const auto parsed = grpc_wire::parse_timeout(text);
    if (!parsed)
      return Error(errors::kInvalidRequest,
                   "grpc-timeout is malformed: " + std::string(text.substr(0, frames::kMaxText)));
    timeout = std::min(*parsed, kMaxTimeout);
  }
  auto call = std::make_shared<UnaryCall>(*doors_.dispatcher, *method, std::move(caller), timeout,
                                          *this, stream);
  arm_deadline(call);
  return std::shared_ptr<StreamHandler>(std::move(call));
}

void ServerConnection::arm_deadline(const std::shared_ptr<UnaryCall>& call) {
  // Those of calls that have ended stay until they come up or are swept.
  if (deadlines_.size() > 2 * open_streams() + 64)
    std::erase_if(deadlines_, [](const auto& entry) { return entry.second.expired(); });
  const auto it = deadlines_.emplace(call->deadline(), call);
  if (it == deadlines_.begin()) run_deadlines();
}

void ServerConnection::run_deadlines() {
  const auto now = Clock::now();
  while (!deadlines_.empty() && deadlines_.begin()->first <= now) {
    if (auto call = deadlines_.begin()->second.lock()) call->time_is_up();
    deadlines_.erase(deadlines_.begin());
  }
  if (deadlines_.empty()) return;
  deadline_timer_->set(deadlines_.begin()->first, [weak = weak_from_this(), this] {
    const auto keep = weak.lock();
    if (keep && !is_closed()) run_deadlines();
  });
}

}  // namespace raymesh::rpc
