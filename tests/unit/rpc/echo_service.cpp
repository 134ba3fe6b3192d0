#include "tests/unit/rpc/echo_service.hpp"

#include <stdexcept>

#include "libs/base/encoding.hpp"

namespace raymesh::rpc::test {
namespace {

using raymesh::test::v1::EchoReply;
using raymesh::test::v1::EchoRequest;
using raymesh::test::v1::MakeRequest;
using raymesh::test::v1::WhoReply;

const char* kind_name(Caller::Kind kind) {
  switch (kind) {
    case Caller::Kind::kGateway:
      return "gateway";
    case Caller::Kind::kService:
      return "service";
    case Caller::Kind::kToken:
      return "token";
  }
  return "";
}

MethodTable methods(std::shared_ptr<Held> held) {
  MethodTable table;
  constexpr uint8_t kAll = kCallerGateway | kCallerToken | kCallerCli | kCallerService;
  table.add<EchoRequest, EchoReply>("Echo", kCallerGateway | kCallerToken,
                                    [](CallPtr, EchoRequest request, Responder<EchoReply> respond) {
                                      EchoReply reply;
                                      reply.set_data(std::move(*request.mutable_data()));
                                      respond(std::move(reply));
                                    });
  table.add<MakeRequest, EchoReply>("Make", kCallerGateway,
                                    [](CallPtr, MakeRequest request, Responder<EchoReply> respond) {
                                      EchoReply reply;
                                      reply.set_data(std::string(request.bytes(), 'x'));
                                      respond(std::move(reply));
                                    });
  table.add<EchoRequest, EchoReply>(
      "Hold", kCallerGateway, [held](CallPtr call, EchoRequest, Responder<EchoReply> respond) {
        held->add({std::move(call), std::move(respond)});
      });
  table.add<EchoRequest, EchoReply>(
      "Fail", kCallerGateway, [](CallPtr, EchoRequest request, Responder<EchoReply> respond) {
        respond(Error(errors::kNotFound, "no " + request.data(), std::chrono::milliseconds(1500)));
      });
  table.add<EchoRequest, EchoReply>("Forget", kCallerGateway,
                                    [](CallPtr, EchoRequest, Responder<EchoReply>) {});
  table.add<EchoRequest,
            WhoReply>("Who", kAll, [](CallPtr call, EchoRequest, Responder<WhoReply> respond) {
    WhoReply reply;
    reply.set_kind(kind_name(call->caller.kind));
    reply.set_name(call->caller.name);
    reply.set_project(call->project);
    reply.set_user(call->user);
    reply.set_request_id(call->request_id);
    reply.set_trace_id(call->trace.trace_id_hex());
    reply.set_span_id(hex_encode({reinterpret_cast<const char*>(call->trace.span_id.data()), 8}));
    reply.set_remaining_ms(
        std::chrono::duration_cast<std::chrono::milliseconds>(call->deadline - Clock::now())
            .count());
    respond(std::move(reply));
  });
  table.add<EchoRequest, EchoReply>(
      "Admin", kCallerCli,
      [](CallPtr, EchoRequest, Responder<EchoReply> respond) { respond(EchoReply()); });
  return table;
}

}  // namespace

void Held::add(Item item) {
  {
    std::lock_guard lock(mutex_);
    items_.push_back(std::move(item));
  }
  changed_.notify_all();
}

void Held::wait_for(size_t count) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return items_.size() >= count; });
}

size_t Held::count() {
  std::lock_guard lock(mutex_);
  return items_.size();
}

void Held::answer(std::string data) {
  std::unique_lock lock(mutex_);
  auto item = std::move(items_.front());
  items_.pop_front();
  lock.unlock();
  EchoReply reply;
  reply.set_data(std::move(data));
  item.respond(std::move(reply));
}

void Held::answer_all(const std::string& data) {
  for (size_t n = count(); n > 0; --n) answer(data);
}

std::vector<CallPtr> Held::calls() {
  std::lock_guard lock(mutex_);
  std::vector<CallPtr> out;
  for (auto& item : items_) out.push_back(item.call);
  return out;
}

Result<std::unique_ptr<Server>> start_echo(ServerConfig config, std::shared_ptr<Held> held) {
  return Server::start(std::move(config), methods(std::move(held)));
}

ServerConfig EchoServer::config() {
  ServerConfig config;
  config.name = "test";
  config.service = kEchoName;
  config.address = "127.0.0.1:0";
  config.credentials.cluster_key = kClusterKey;
  return config;
}

EchoServer::EchoServer(ServerConfig config) : listen(config.address) {
  auto started = start_echo(std::move(config), held);
  if (!started.ok()) throw std::runtime_error(started.error().message);
  server = std::move(*started);
}

EchoServer::~EchoServer() {
  server.reset();
}

std::string EchoServer::address() const {
  if (listen.starts_with("unix:")) return listen;
  return listen.substr(0, listen.rfind(':') + 1) + std::to_string(server->port());
}

PeerConfig EchoServer::peer_config() const {
  PeerConfig config;
  config.service = kEchoName;
  config.endpoints = {address()};
  config.limits.max_wait = std::chrono::seconds(20);  // a busy machine is no failure
  return config;
}

Result<std::string> echo(Peer& peer, const std::string& data, const CallOptions& options) {
  EchoRequest request;
  request.set_data(data);
  auto reply = call<EchoReply>(peer, "Echo", request, options);
  if (!reply.ok()) return reply.error();
  return reply->data();
}

std::shared_ptr<Peer> connect(PeerConfig config, ClientCredentials credentials) {
  auto peer = connect_peer(std::move(config), credentials);
  if (!peer.ok()) throw std::runtime_error(peer.error().message);
  return *peer;
}

}  // namespace raymesh::rpc::test
