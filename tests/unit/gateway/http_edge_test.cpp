// HTTP over real sockets against a running gateway. Its services are not there: what is tested is
// what the gateway decides by itself, on paths that need no key (/, OPTIONS and the device flow,
// which takes bodies), and that everything else fails as it should.
#include <gtest/gtest.h>
#include <poll.h>

#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/write.hpp>
#include <chrono>
#include <thread>

#include "libs/actor/system.hpp"
#include "services/gateway/app.hpp"

namespace raymesh::gateway {
namespace {

using boost::asio::ip::tcp;
using namespace std::chrono_literals;

const std::string kPath = "/api/v1/auth/device/start";  // answers 501 once the body is complete

class Gateway {
 public:
  explicit Gateway(Config config = {}) {
    config.listen = "127.0.0.1:0";
    config.threads = 2;
    // Nothing listens on port 1.
    config.auth_peers = config.storage_peers = config.cache_peers =
        config.realtime_peers = {"127.0.0.1:1"};
    common_.cluster_key = "0123456789abcdef0123456789abcdef";
    app_ = make_app(config, env_);
    const Status started = app_->start();
    EXPECT_TRUE(started.ok()) << (started.ok() ? "" : started.error().message);
  }
  ~Gateway() { app_->stop(0ms); }

  App& app() { return *app_; }
  std::vector<std::string> metric_names() {
    std::vector<std::string> ours;
    for (const std::string& name : registry_->names())
      if (name.starts_with("raymesh_gateway_")) ours.push_back(name);
    return ours;
  }
  double metric(const std::string& line) {
    const std::string text = registry_->render();
    const size_t at = text.find("\n" + line + " ");
    return at == std::string::npos ? 0 : std::stod(text.substr(at + line.size() + 2));
  }

 private:
  host::CommonConfig common_;
  std::shared_ptr<metrics::Registry> registry_ = metrics::Registry::create();
  actor::System actors_{2};
  host::Env env_{common_, *registry_, actors_.get()};
  std::unique_ptr<App> app_;
};

struct Response {
  int status = 0;
  std::string head, body;
  bool has(const std::string& text) const { return head.find(text) != std::string::npos; }
};

class Client {
 public:
  explicit Client(Gateway& gateway) {
    socket_.connect(
        {boost::asio::ip::make_address("127.0.0.1"), static_cast<uint16_t>(gateway.app().port())});
    socket_.set_option(tcp::no_delay(true));
  }

  Client& send(std::string_view text) {
    boost::system::error_code ec;
    boost::asio::write(socket_, boost::asio::buffer(text), ec);
    return *this;
  }
  tcp::socket& socket() { return socket_; }

  // Reads one answer; status 0 when the connection ends first.
  Response read(bool has_body = true) {
    Response r;
    while (buffer_.find("\r\n\r\n") == std::string::npos)
      if (!more()) return r;
    const size_t end = buffer_.find("\r\n\r\n") + 4;
    r.head = buffer_.substr(0, end);
    buffer_.erase(0, end);
    r.status = std::stoi(r.head.substr(9, 3));
    const size_t at = r.head.find("Content-Length: ");
    if (at == std::string::npos || !has_body) return r;
    const size_t length = std::stoul(r.head.substr(at + 16));
    while (buffer_.size() < length)
      if (!more()) break;
    r.body = buffer_.substr(0, length);
    buffer_.erase(0, length);
    return r;
  }
  // Nothing more comes and the connection has ended.
  bool ended() {
    while (more()) {
    }
    return buffer_.empty() && ended_;
  }

 private:
  bool more() {
    pollfd p{socket_.native_handle(), POLLIN, 0};
    if (::poll(&p, 1, 10'000) != 1) return false;
    char chunk[65536];
    boost::system::error_code ec;
    const size_t n = socket_.read_some(boost::asio::buffer(chunk), ec);
    ended_ = ended_ || ec;
    buffer_.append(chunk, n);
    return n > 0;
  }

  boost::asio::io_context io_;
  tcp::socket socket_{io_};
  std::string buffer_;
  bool ended_ = false;
};

std::string post(const std::string& body, const std::string& fields = "") {
  return "POST " + kPath +
         " HTTP/1.1\r\nHost: a\r\nContent-Length: " + std::to_string(body.size()) + "\r\n" +
         fields + "\r\n" + body;
}

const std::string kGet = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

TEST(HttpEdgeTest, AnswersTheRootWithAllHeaders) {
  Gateway gateway;
  const Response r = Client(gateway).send(kGet).read();
  EXPECT_EQ(r.status, 200);
  EXPECT_EQ(r.body, R"({"service":"raymesh","ok":true})");
  for (auto line : {"Content-Type: application/json", "Access-Control-Allow-Origin: *",
                    "Date: ", "X-Request-Id: "})
    EXPECT_TRUE(r.has(line)) << line;
}

TEST(HttpEdgeTest, HeadHasTheSameHeadAndNoBody) {
  Gateway gateway;
  Client client(gateway);
  const Response r = client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n").read(false);
  EXPECT_EQ(r.status, 200);
  EXPECT_TRUE(r.has("Content-Length: 31\r\n"));
  EXPECT_EQ(client.send(kGet).read().status, 200);
}

TEST(HttpEdgeTest, PreflightNeedsNoKeyAndAllowsAppUrl) {
  Gateway gateway;
  const Response r =
      Client(gateway).send("OPTIONS /api/v1/db HTTP/1.1\r\nHost: a\r\n\r\n").read(false);
  EXPECT_EQ(r.status, 204);
  EXPECT_TRUE(r.has("X-App-Url"));
  EXPECT_FALSE(r.has("Content-Length"));
}

TEST(HttpEdgeTest, WithoutAKeyEverythingBelowApiIs401) {
  Gateway gateway;
  for (auto request :
       {"POST /api/v1/db", "GET /api/v1/nothing", "GET /api/v1/db", "PUT /api/v1/x"}) {
    const Response r =
        Client(gateway).send(std::string(request) + " HTTP/1.1\r\nHost: a\r\n\r\n").read();
    EXPECT_EQ(r.status, 401) << request;
    EXPECT_EQ(
        r.body,
        R"({"error":"Missing API key. Send it as: Authorization: Bearer <key>","code":"missing_api_key"})");
  }
  const Response other =
      Client(gateway)
          .send("GET /api/v1/info HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer dct_x\r\n\r\n")
          .read();
  EXPECT_EQ(other.status, 401);
  EXPECT_NE(other.body.find("invalid_api_key"), std::string::npos);
}

TEST(HttpEdgeTest, OutsideOfApiIsNotFound) {
  Gateway gateway;
  for (auto path : {"/x", "/api/v1", "/api/v2/db", "//", "/__storage/public/x"}) {
    const Response r =
        Client(gateway).send("GET " + std::string(path) + " HTTP/1.1\r\nHost: a\r\n\r\n").read();
    EXPECT_EQ(r.status, 404) << path;
    EXPECT_EQ(r.body, R"({"error":"Not found","code":"not_found"})");
  }
  const Response r = Client(gateway).send("DELETE / HTTP/1.1\r\nHost: a\r\n\r\n").read();
  EXPECT_EQ(r.status, 405);
  EXPECT_TRUE(r.has("Allow: GET, HEAD\r\n"));
}

TEST(HttpEdgeTest, AnswersPipelinedRequestsInOrder) {
  Gateway gateway;
  Client client(gateway);
  std::string all;
  for (int i = 0; i < 500; ++i)
    all += (i % 3 == 0
                ? post(std::string(static_cast<size_t>(i), 'x'),
                       "X-Request-Id: id" + std::to_string(i) + "\r\n")
                : "GET / HTTP/1.1\r\nHost: a\r\nX-Request-Id: id" + std::to_string(i) + "\r\n\r\n");
  client.send(all);
  for (int i = 0; i < 500; ++i) {
    const Response r = client.read();
    EXPECT_EQ(r.status, i % 3 == 0 ? 501 : 200);
    EXPECT_TRUE(r.has("X-Request-Id: id" + std::to_string(i) + "\r\n")) << i;
  }
}

TEST(HttpEdgeTest, TakesARequestByteByByte) {
  Gateway gateway;
  Client client(gateway);
  for (char c : post("hello") + kGet) client.send(std::string_view(&c, 1));
  EXPECT_EQ(client.read().status, 501);
  EXPECT_EQ(client.read().status, 200);
}

TEST(HttpEdgeTest, TakesChunkedBodiesInAnyPieces) {
  Gateway gateway;
  const std::string request = "POST " + kPath +
                              " HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                              "5\r\nhello\r\n6;x=y\r\n world\r\n0\r\nT: 1\r\n\r\n";
  Client whole(gateway);
  whole.send(request + request + kGet);
  EXPECT_EQ(whole.read().status, 501);
  EXPECT_EQ(whole.read().status, 501);
  EXPECT_EQ(whole.read().status, 200);
  Client bytes(gateway);
  for (char c : request + kGet) bytes.send(std::string_view(&c, 1));
  EXPECT_EQ(bytes.read().status, 501);
  EXPECT_EQ(bytes.read().status, 200);
  for (size_t cut = 1; cut < request.size(); cut += 7) {
    Client two(gateway);
    two.send(request.substr(0, cut)).send(request.substr(cut) + kGet);
    EXPECT_EQ(two.read().status, 501);
    EXPECT_EQ(two.read().status, 200);
  }
}

TEST(HttpEdgeTest, ClosesAfterWhatItCannotFrame) {
  Gateway gateway;
  for (const std::string& request : {
           "GET / HTTP/1.1\nHost: a\n\n" + kGet,
           "GET / HTTP/1.1\r\n\r\n" + kGet,
           "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: "
           "chunked\r\n\r\n0\r\n\r\n" +
               kGet,
           "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc" + kGet,
           "GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n folded\r\n\r\n" + kGet,
           "POST " + kPath + " HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n" +
               kGet,
           std::string("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\n", 12),
       }) {
    Client client(gateway);
    const Response r = client.send(request).read();
    EXPECT_EQ(r.status, 400) << request;
    EXPECT_NE(r.body.find("malformed_http"), std::string::npos);
    EXPECT_TRUE(r.has("Connection: close\r\n"));
    EXPECT_TRUE(client.ended()) << request;
  }
  EXPECT_EQ(gateway.metric("raymesh_gateway_malformed_requests_total"), 7);
}

TEST(HttpEdgeTest, LimitsHeadersAndBodies) {
  Gateway gateway;
  Client headers(gateway);
  headers.send("GET / HTTP/1.1\r\nHost: a\r\nX: " + std::string(20'000, 'x'));
  EXPECT_EQ(headers.read().status, 431);
  EXPECT_TRUE(headers.ended());
  Client many(gateway);
  std::string fields;
  for (int i = 0; i < 200; ++i) fields += "X" + std::to_string(i) + ": y\r\n";
  EXPECT_EQ(many.send("GET / HTTP/1.1\r\nHost: a\r\n" + fields + "\r\n").read().status, 431);
  // The device routes have the small limit, 64 KiB. Refused before the body is sent.
  Client body(gateway);
  body.send("POST " + kPath + " HTTP/1.1\r\nHost: a\r\nContent-Length: 65537\r\n\r\n");
  const Response r = body.read();
  EXPECT_EQ(r.status, 413);
  EXPECT_NE(r.body.find("body_too_large"), std::string::npos);
  EXPECT_TRUE(body.ended());
  Client fits(gateway);
  EXPECT_EQ(fits.send(post(std::string(65'536, 'x'))).read().status, 501);
  Client chunked(gateway);
  chunked.send("POST " + kPath +
               " HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n10001\r\n");
  EXPECT_EQ(chunked.read().status, 413);
  EXPECT_TRUE(chunked.ended());
}

TEST(HttpEdgeTest, ContinuesWhenTheClientWaitsForIt) {
  Gateway gateway;
  for (const std::string framing : {"Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n"}) {
    Client client(gateway);
    client.send("POST " + kPath + " HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n" + framing +
                "\r\n");
    EXPECT_EQ(client.read(false).status, 100) << framing;
    client.send(framing[0] == 'C' ? "hello" : "5\r\nhello\r\n0\r\n\r\n");
    EXPECT_EQ(client.read().status, 501);
    EXPECT_EQ(client.send(kGet).read().status, 200);
  }
  // The body came along: nothing to continue. A refused one: the answer takes 100's place.
  Client at_once(gateway);
  EXPECT_EQ(at_once.send(post("hello", "Expect: 100-continue\r\n")).read().status, 501);
  Client refused(gateway);
  refused.send(
      "POST /api/v1/db HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
  EXPECT_EQ(refused.read().status, 401);
  EXPECT_TRUE(refused.ended());
}

TEST(HttpEdgeTest, ARefusedBodyThatHasComeKeepsTheConnection) {
  Gateway gateway;
  Client client(gateway);
  client.send("POST /api/v1/db HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello" + kGet);
  EXPECT_EQ(client.read().status, 401);
  EXPECT_EQ(client.read().status, 200);
}

TEST(HttpEdgeTest, ConnectionCloseAndHttp10End) {
  Gateway gateway;
  Client close(gateway);
  EXPECT_TRUE(close.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" + kGet)
                  .read()
                  .has("Connection: close\r\n"));
  EXPECT_TRUE(close.ended());
  Client old(gateway);
  EXPECT_EQ(old.send("GET / HTTP/1.0\r\n\r\n").read().status, 200);
  EXPECT_TRUE(old.ended());
  Client kept(gateway);
  kept.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").read();
  EXPECT_EQ(kept.send("GET / HTTP/1.0\r\n\r\n").read().status, 200);
}

Config quick() {
  Config config;
  config.timer_tick = 10ms;
  config.header_timeout = config.body_timeout = config.idle_timeout = config.write_timeout = 100ms;
  return config;
}

TEST(HttpEdgeTest, SlowClientsGet408) {
  Gateway gateway(quick());
  Client head(gateway);
  EXPECT_EQ(head.send("GET / HTTP/1.1\r\nHo").read().status, 408);
  EXPECT_TRUE(head.ended());
  Client body(gateway);
  const Response r =
      body.send("POST " + kPath + " HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe").read();
  EXPECT_EQ(r.status, 408);
  EXPECT_NE(r.body.find("request_timeout"), std::string::npos);
  EXPECT_TRUE(body.ended());
  Client chunked(gateway);
  chunked.send("POST " + kPath +
               " HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhe");
  EXPECT_EQ(chunked.read().status, 408);
}

TEST(HttpEdgeTest, DrippingBytesDoNotExtendTheDeadline) {
  Gateway gateway(quick());
  Client client(gateway);
  const auto start = std::chrono::steady_clock::now();
  Response r;
  std::thread drip([&] {
    for (int i = 0; i < 2000; ++i) {
      client.send("x");
      pollfd p{client.socket().native_handle(), POLLIN, 0};
      if (::poll(&p, 1, 10) == 1) return;
    }
  });
  drip.join();
  r = client.read();
  EXPECT_EQ(r.status, 408);
  EXPECT_LT(std::chrono::steady_clock::now() - start, 15s);
}

TEST(HttpEdgeTest, IdleConnectionsEndQuietly) {
  Gateway gateway(quick());
  Client fresh(gateway);
  EXPECT_TRUE(fresh.ended());
  Client used(gateway);
  EXPECT_EQ(used.send(kGet).read().status, 200);
  EXPECT_TRUE(used.ended());
  // The gauge follows a moment after the client's end of the connection.
  for (int i = 0; i < 20'000 && gateway.metric("raymesh_gateway_connections") != 0; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  EXPECT_EQ(gateway.metric("raymesh_gateway_connections_total"), 2);
}

TEST(HttpEdgeTest, AClientThatDoesNotReadIsCutOff) {
  Config config = quick();
  config.idle_timeout = config.header_timeout = config.body_timeout = 60'000ms;
  Gateway gateway(config);
  Client client(gateway);
  // Far more answers than the sockets hold, none of them read. The gateway stops reading, so the
  // sender is held up too, until the write timeout ends the connection.
  std::string all;
  for (int i = 0; i < 1000; ++i) all += kGet;
  boost::system::error_code ec;
  const auto start = std::chrono::steady_clock::now();
  while (!ec && std::chrono::steady_clock::now() - start < 20s)
    boost::asio::write(client.socket(), boost::asio::buffer(all), ec);
  EXPECT_TRUE(ec);
  EXPECT_GE(gateway.metric("raymesh_gateway_client_timeouts_total"), 1);
}

TEST(HttpEdgeTest, WaitsAtTheConnectionLimit) {
  Config config;
  config.max_connections = 2;
  Gateway gateway(config);
  Client a(gateway);
  Client b(gateway);
  EXPECT_EQ(a.send(kGet).read().status, 200);
  EXPECT_EQ(b.send(kGet).read().status, 200);
  Client c(gateway);
  c.send(kGet);
  a.socket().close();
  EXPECT_EQ(c.read().status, 200);
}

TEST(HttpEdgeTest, DrainingAnswersWhatIsUnderWayAndEndsIdleConnections) {
  auto gateway = std::make_unique<Gateway>();
  Client idle(*gateway);
  EXPECT_EQ(idle.send(kGet).read().status, 200);
  // An answer is out before its request is counted as finished.
  while (gateway->metric("raymesh_gateway_requests_in_flight") != 0) std::this_thread::yield();
  Client busy(*gateway);
  busy.send("POST " + kPath + " HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe");
  // The gateway has read it when it has one request under way.
  while (gateway->metric("raymesh_gateway_requests_in_flight") != 1) std::this_thread::yield();
  std::thread stop([&] { gateway->app().stop(10s); });
  EXPECT_TRUE(idle.ended());
  const Response r = busy.send("llo").read();
  EXPECT_EQ(r.status, 501);
  EXPECT_TRUE(r.has("Connection: close\r\n"));
  stop.join();
  EXPECT_TRUE(busy.ended());
}

TEST(HttpEdgeTest, WithoutAuthAKeyIsAnswered503) {
  Gateway gateway;
  const Response r =
      Client(gateway)
          .send("GET /api/v1/info HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer dc_x\r\n\r\n")
          .read();
  EXPECT_EQ(r.status, 503);
  EXPECT_TRUE(r.has("Retry-After: 1\r\n"));
  EXPECT_NE(r.body.find("\"code\":\"unavailable\""), std::string::npos);
}

TEST(HttpEdgeTest, AClientThatLeavesWhileAuthIsAskedLeavesNothingBehind) {
  Gateway gateway;
  for (int i = 0; i < 50; ++i) {
    Client client(gateway);
    client.send("GET /api/v1/info HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer dc_" +
                std::to_string(i) + "\r\n\r\n");
  }
  const auto start = std::chrono::steady_clock::now();
  while ((gateway.metric("raymesh_gateway_connections_total") < 50 ||
          gateway.metric("raymesh_gateway_connections") > 0) &&
         std::chrono::steady_clock::now() - start < 10s)
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  EXPECT_EQ(gateway.metric("raymesh_gateway_connections"), 0);
  EXPECT_EQ(gateway.metric("raymesh_gateway_requests_in_flight"), 0);
}

TEST(HttpEdgeTest, ChecksReportMissingServices) {
  Gateway gateway;
  const auto checks = gateway.app().checks();
  ASSERT_EQ(checks.size(), 4u);
  for (const auto& check : checks) EXPECT_FALSE(check.ready().ok()) << check.name;
}

TEST(HttpEdgeTest, MetricNamesAreThese) {
  Gateway gateway;
  const std::vector<std::string> golden = {"raymesh_gateway_client_disconnects_total",
                                           "raymesh_gateway_client_timeouts_total",
                                           "raymesh_gateway_connections",
                                           "raymesh_gateway_connections_total",
                                           "raymesh_gateway_key_cache_total",
                                           "raymesh_gateway_malformed_requests_total",
                                           "raymesh_gateway_rate_buckets",
                                           "raymesh_gateway_rate_lease_failures_total",
                                           "raymesh_gateway_rate_limited_total",
                                           "raymesh_gateway_raystream_call_seconds",
                                           "raymesh_gateway_raystream_calls_total",
                                           "raymesh_gateway_raystream_closed_total",
                                           "raymesh_gateway_raystream_decrypt_failures_total",
                                           "raymesh_gateway_raystream_events_total",
                                           "raymesh_gateway_raystream_failed_sessions_total",
                                           "raymesh_gateway_raystream_fenced_total",
                                           "raymesh_gateway_raystream_frames_total",
                                           "raymesh_gateway_raystream_handshakes_total",
                                           "raymesh_gateway_raystream_heartbeats_missed_total",
                                           "raymesh_gateway_raystream_received_bytes_total",
                                           "raymesh_gateway_raystream_resumptions_total",
                                           "raymesh_gateway_raystream_sent_bytes_total",
                                           "raymesh_gateway_raystream_sessions",
                                           "raymesh_gateway_raystream_state_writes_total",
                                           "raymesh_gateway_raystream_subscriptions",
                                           "raymesh_gateway_received_bytes_total",
                                           "raymesh_gateway_relay_messages_total",
                                           "raymesh_gateway_relay_resets_total",
                                           "raymesh_gateway_relay_resubscriptions_total",
                                           "raymesh_gateway_relay_streams",
                                           "raymesh_gateway_request_seconds",
                                           "raymesh_gateway_requests_in_flight",
                                           "raymesh_gateway_requests_total",
                                           "raymesh_gateway_sent_bytes_total"};
  EXPECT_EQ(gateway.metric_names(), golden);
}

TEST(HttpEdgeTest, HalfATlsConfigurationDoesNotStart) {
  host::CommonConfig common;
  auto registry = metrics::Registry::create();
  actor::System actors(2);
  host::Env env{common, *registry, actors.get()};
  Config config;
  config.listen = "127.0.0.1:0";
  config.tls_certificate = "/nowhere/cert.pem";
  auto half = make_app(config, env, LocalServices{})->start();
  ASSERT_FALSE(half.ok());
  EXPECT_NE(half.error().message.find("--tls-key"), std::string::npos);
  config.tls_key = "/nowhere/key.pem";
  auto missing = make_app(config, env, LocalServices{})->start();
  ASSERT_FALSE(missing.ok());
  EXPECT_NE(missing.error().message.find("/nowhere/cert.pem"), std::string::npos);
}

}  // namespace
}  // namespace raymesh::gateway
