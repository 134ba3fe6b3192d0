// A real server of the Echo service, and calls to it that wait. For tests only.
#pragma once

#include <condition_variable>
#include <deque>
#include <future>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "echo.pb.h"
#include "libs/rpc/peer.hpp"
#include "libs/rpc/server.hpp"

namespace raymesh::rpc::test {

inline constexpr char kClusterKey[] = "a-key-for-the-tests";
inline constexpr char kEchoName[] = "raymesh.test.v1.Echo";

/// Calls of `Hold` that wait for the test to answer them.
class Held {
 public:
  struct Item {
    CallPtr call;
    Responder<raymesh::test::v1::EchoReply> respond;
  };
  void add(Item item);
  /// Waits until so many calls are held.
  void wait_for(size_t count);
  size_t count();
  /// Answers the oldest one.
  void answer(std::string data);
  std::vector<CallPtr> calls();
  void answer_all(const std::string& data);

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Item> items_;
};

struct EchoServer {
  /// Default: 127.0.0.1, any port, with the cluster key.
  static ServerConfig config();
  explicit EchoServer(ServerConfig config = EchoServer::config());
  ~EchoServer();

  std::string address() const;
  PeerConfig peer_config() const;

  std::shared_ptr<Held> held = std::make_shared<Held>();
  std::string listen;
  std::unique_ptr<Server> server;
};

Result<std::unique_ptr<Server>> start_echo(ServerConfig config, std::shared_ptr<Held> held);

/// The answer of one call, when it comes.
template <class Reply>
class Pending {
 public:
  uint64_t ticket = 0;
  Result<Reply> get() { return future.get(); }
  bool done() { return future.wait_for(std::chrono::seconds(0)) == std::future_status::ready; }
  std::future<Result<Reply>> future;
};

template <class Reply, class Request>
Pending<Reply> start_call(Peer& peer, std::string_view method, const Request& request,
                          const CallOptions& options = {},
                          const common::v1::CallContext& context = {}) {
  auto promise = std::make_shared<std::promise<Result<Reply>>>();
  Pending<Reply> pending;
  pending.future = promise->get_future();
  pending.ticket = peer.call<Reply>(method, context, request, options, [promise](Result<Reply> r) {
    promise->set_value(std::move(r));
  });
  return pending;
}

template <class Reply, class Request>
Result<Reply> call(Peer& peer, std::string_view method, const Request& request,
                   const CallOptions& options = {}, const common::v1::CallContext& context = {}) {
  return start_call<Reply>(peer, method, request, options, context).get();
}

Result<std::string> echo(Peer& peer, const std::string& data, const CallOptions& options = {});

std::shared_ptr<Peer> connect(PeerConfig config, ClientCredentials credentials = {{}, kClusterKey});

}  // namespace raymesh::rpc::test
