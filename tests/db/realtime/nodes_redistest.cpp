// Whole realtime nodes with the redis broker, in one process, and their clients' sockets.
#include <thread>

#include "services/realtime/redis_broker.hpp"
#include "tests/support/redis_fixture.hpp"
#include "tests/unit/realtime/node_fixture.hpp"

namespace raymesh::realtime {
namespace {

using namespace std::chrono_literals;

class RedisNodesTest : public NodeFixture {
 protected:
  struct Node {
    std::shared_ptr<metrics::Registry> registry;
    std::unique_ptr<RealtimeNode> node;
  };

  RedisNodesTest() {
    config_.make_broker = [this](BrokerNode of) {
      RedisBrokerConfig redis;
      redis.urls = {redis_.url()};
      return std::make_shared<RedisBroker>(redis, actors_.get(), std::move(of));
    };
  }
  Node node() {
    Node out{metrics::Registry::create(), nullptr};
    auto started = RealtimeNode::start(config_, tokens_, actors_.get(), *out.registry);
    EXPECT_TRUE(started.ok()) << started.error().message;
    out.node = std::move(started).value();
    eventually([&] { return out.node->broker_ready().ok(); });
    return out;
  }
  struct Client {
    WsClient socket;
    std::string id;
  };
  static Client open(Node& node, const std::string& token) {
    Client client{WsClient(node.node->port()), {}};
    const std::string answer = client.socket.handshake(
        "/?token=" + token, "Sec-WebSocket-Protocol: raymesh.realtime.v1\r\n");
    EXPECT_TRUE(answer.starts_with("HTTP/1.1 101 ")) << answer;
    client.id = text_of(client.socket.receive_text(), "connection");
    return client;
  }
  static std::string subscribe(Client& client) {
    client.socket.send_text(R"({"type":"subscribe","channel":"room","presence":true})");
    return next(client, "subscribed");
  }
  /// Skips to the next event of that type.
  static std::string next(Client& client, const std::string& type) {
    for (;;) {
      std::string event = client.socket.receive_text();
      if (text_of(event, "type") == type) return event;
    }
  }
  static std::string text_of(const std::string& event, const std::string& name) {
    const std::string key = '"' + name + "\":\"";
    const size_t at = event.find(key);
    if (at == std::string::npos) return {};
    return event.substr(at + key.size(), event.find('"', at + key.size()) - at - key.size());
  }
  std::string present(Node& node) {
    return await<PresencePage>([&](auto done) {
             node.node->presence(kProject, "room", {100, {}}, std::move(done));
           })
        .members_json;
  }

  test::RedisServer redis_;
};

TEST_F(RedisNodesTest, WhoComesBackAfterADrainIsTheMemberThatItWas) {
  Node a = node();
  Node b = node();
  Client watcher = open(b, token({"room"}, "watcher"));
  EXPECT_EQ(subscribe(watcher).find("\"member\""), std::string::npos);

  const std::string same = token({"room"}, "ada");
  Client client = open(a, same);
  EXPECT_EQ(subscribe(client).find("\"member\""), std::string::npos) << "it is the connection's";
  std::string event = next(watcher, "join");
  if (text_of(event, "id") == watcher.id) event = next(watcher, "join");
  EXPECT_EQ(text_of(event, "id"), client.id);
  const std::string shown = R"({"id":")" + client.id + R"(","identity":"ada"})";
  EXPECT_NE(present(b).find(shown), std::string::npos);

  std::thread stopping([&] { a.node->stop(5s); });
  EXPECT_EQ(client.socket.receive_close(), 1012);
  EXPECT_NE(present(b).find(shown), std::string::npos);
  stopping.join();
  a.node.reset();
  EXPECT_NE(present(b).find(shown), std::string::npos);

  Client back = open(b, same);
  EXPECT_NE(back.id, client.id);
  EXPECT_EQ(text_of(subscribe(back), "member"), client.id);
  EXPECT_NE(present(b).find(shown), std::string::npos);
  EXPECT_EQ(present(b).find(back.id), std::string::npos);

  back.socket.send_text(R"({"type":"unsubscribe","id":1,"channel":"room"})");
  next(back, "unsubscribed");
  event = watcher.socket.receive_text();
  EXPECT_EQ(text_of(event, "type"), "leave") << "neither left nor came between: " << event;
  EXPECT_EQ(text_of(event, "id"), client.id);
  EXPECT_EQ(present(b).find(client.id), std::string::npos);
  // It has its own place the next time.
  EXPECT_EQ(subscribe(back).find("\"member\""), std::string::npos);
  EXPECT_EQ(text_of(watcher.socket.receive_text(), "id"), back.id);
}

}  // namespace
}  // namespace raymesh::realtime
