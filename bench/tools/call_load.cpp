// Small calls over many sessions, closed loop: raystream over TCP or a WebSocket, and the same over
// a plain WebSocket, with TLS or without. One thread; the servers' CPU time is what is measured.
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "bench/tools/load_support.hpp"
#include "libs/base/encoding.hpp"
#include "libs/raystream/client_handshake.hpp"
#include "libs/raystream/session.hpp"
#include "raymesh/raystream/v1/raystream.pb.h"

namespace raymesh::bench {
namespace {

using raystream::FrameType;

constexpr std::string_view kUsage = R"(call_load --url URL [options]
  --url URL         ws://, wss:// (TLS 1.3, any certificate), tcp:// (raystream)
  --key ID:KEY      a ws:// is raystream, too, and this the server's key (base64url)
  --api-key KEY     what raystream attaches with
  --cipher NAME     of raystream
  --sessions N      (64)
  --window N        calls under way in each session (1)
  --bytes N         of a call (64)
  --answer N        of its answer, at most 1024 (200)
  --seconds N       measured (5)
  --warmup N        before that (1)
  --idle N          no calls: hold the attached sessions for N seconds; memory and idle CPU
  --pids A,B        the servers' processes
  --label TEXT
)";

struct Options {
  Target target;
  bool tls = false, websocket = false, raystream = false;
  raystream::ClientOptions trust;
  std::string api_key;
  size_t bytes = 0, answer = 0;
  uint64_t window = 1;
};

size_t server_frame(std::string_view in, size_t& header) {
  if (in.size() < 2) return 0;
  uint64_t size = static_cast<unsigned char>(in[1]);
  header = size < 126 ? 2 : size == 126 ? 4 : 10;
  if (in.size() < header) return 0;
  if (size >= 126) {
    size = 0;
    for (size_t i = 2; i < header; ++i) size = size << 8 | static_cast<unsigned char>(in[i]);
  }
  return in.size() >= header + size ? header + size : 0;
}

void append_client_header(std::string& out, size_t size) {
  out += '\x82';
  if (size < 126) {
    out += static_cast<char>(0x80 | size);
  } else {
    out += '\xfe';
    out += static_cast<char>(size >> 8);
    out += static_cast<char>(size);
  }
  out.append(4, '\0');
}

class Connection {
 public:
  Connection(const Options& options, SSL_CTX* tls) : options_(options) {
    fd = connect_loopback(options.target.host, options.target.port);
    pollfd ready{fd, POLLOUT, 0};
    poll(&ready, 1, 10'000);
    if (options.tls) {
      ssl_ = SSL_new(tls);
      SSL_set_fd(ssl_, fd);
      for (int r; (r = SSL_connect(ssl_)) != 1;) {
        const int error = SSL_get_error(ssl_, r);
        if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE)
          fail("the TLS handshake failed");
        wait_readable();
      }
    }
    if (options.websocket) upgrade();
    if (options.raystream) shake_hands();
    const std::string payload(options.bytes, 'x');
    plain_ = payload;
    if (!options.raystream) return;
    raystream::v1::RpcCall call;
    call.set_method("raystream.echo");
    call.set_args(payload);
    (*call.mutable_metadata())["query"] = "bytes=" + std::to_string(options.answer);
    rest_ = call.SerializeAsString();
  }
  ~Connection() {
    if (ssl_) SSL_free(ssl_);
    close(fd);
  }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  void begin(uint64_t calls) {
    for (uint64_t i = 0; i < calls; ++i) send_call();
    flush();
  }

  /// The answers that have come; each is followed by the next call.
  uint64_t take(LatencyHistogram& latency) {
    uint64_t answers = 0;
    while (receive()) {
    }
    size_t used = 0;
    while (next(used)) {
      ++answers;
      latency.record(now_ns() - sent_[taken_++ % sent_.size()]);
      send_call();
    }
    in_.erase(0, used);
    flush();
    return answers;
  }

  int fd = -1;

 private:
  void wait_readable() const {
    pollfd ready{fd, POLLIN, 0};
    if (poll(&ready, 1, 20'000) != 1) fail("the server does not answer");
  }

  bool receive() {
    char buffer[32 << 10];
    const ssize_t got =
        ssl_ ? SSL_read(ssl_, buffer, sizeof buffer) : recv(fd, buffer, sizeof buffer, 0);
    if (got > 0) {
      in_.append(buffer, static_cast<size_t>(got));
      return ssl_ != nullptr || static_cast<size_t>(got) == sizeof buffer;
    }
    if (ssl_ && SSL_get_error(ssl_, static_cast<int>(got)) == SSL_ERROR_WANT_READ) return false;
    if (!ssl_ && got < 0 && errno == EAGAIN) return false;
    fail("the server has closed a connection");
  }

  void flush() {
    while (!out_.empty()) {
      const ssize_t put = ssl_ ? SSL_write(ssl_, out_.data(), static_cast<int>(out_.size()))
                               : send(fd, out_.data(), out_.size(), MSG_NOSIGNAL);
      if (put <= 0) fail("the socket takes no more");  // windows are far smaller than its buffer
      out_.erase(0, static_cast<size_t>(put));
    }
  }

  void upgrade() {
    out_ += "GET " + options_.target.path +
            " HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n" +
            "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n" +
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    flush();
    while (in_.find("\r\n\r\n") == std::string::npos) {
      wait_readable();
      receive();
    }
    if (!in_.starts_with("HTTP/1.1 101")) fail("no WebSocket: " + in_);
    in_.erase(0, in_.find("\r\n\r\n") + 4);
  }

  void shake_hands() {
    raystream::ClientHandshake handshake(options_.trust);
    raystream::OutgoingBuffer init;
    handshake.start(nullptr, init);
    wrap(init.bytes());
    flush();
    std::span<char> frame = next_frame(raystream::ClientHandshake::expected());
    if (const auto refusal = handshake.read({frame.data(), frame.size()}, session_))
      fail("the handshake failed: " + std::string(refusal.why));
    drop_frame();
    raystream::v1::Attach attach;
    attach.set_api_key(options_.api_key);
    raystream::v1::RpcCall call;
    call.set_call_id(++last_id_);
    call.set_method("auth.attach");
    call.set_args(attach.SerializeAsString());
    seal({call.SerializeAsString()});
    flush();
    raystream::Incoming incoming;
    if (session_.open(next_frame(session_.expected()), incoming) ||
        incoming.type != FrameType::kRpcResponse)
      fail("the session cannot be attached");
    drop_frame();
    session_.attached();
  }

  void wrap(std::string_view frame) {
    if (options_.websocket) append_client_header(out_, frame.size());
    out_ += frame;
  }

  void seal(std::initializer_list<std::string_view> pieces) {
    sealed_.consumed(sealed_.size());
    if (session_.seal(FrameType::kRpcCall, pieces, sealed_) != raystream::Sent::kOk)
      fail("a frame cannot be sealed");
    wrap(sealed_.bytes());
  }

  // Blocks until it is whole; for setting up.
  std::span<char> next_frame(const raystream::Expected& expected) {
    for (;;) {
      size_t header = 0;
      const size_t whole = options_.websocket ? server_frame(in_, header) : in_.size();
      if (whole > header) {
        const auto parsed =
            raystream::parse_frame(std::string_view(in_).substr(header, whole - header), expected);
        if (parsed.status == raystream::ParseStatus::kRefused)
          fail("a frame was refused: " + std::string(parsed.refusal.why));
        if (parsed.status == raystream::ParseStatus::kFrame) {
          set_up_bytes_ = header + parsed.bytes;
          return {in_.data() + header, parsed.bytes};
        }
      }
      wait_readable();
      receive();
    }
  }
  void drop_frame() { in_.erase(0, set_up_bytes_); }

  // An answer, checked; false: none is whole.
  bool next(size_t& used) {
    const std::string_view in = std::string_view(in_).substr(used);
    size_t header = 0;
    size_t whole = 0;
    if (options_.websocket) {
      whole = server_frame(in, header);
      if (whole == 0) return false;
    }
    if (!options_.raystream) {
      if (whole - header != options_.answer) fail("an answer of another size");
      used += whole;
      return true;
    }
    if (!options_.websocket) {
      const auto parsed = raystream::parse_frame(in, session_.expected());
      if (parsed.status != raystream::ParseStatus::kFrame) return false;
      whole = parsed.bytes;
    }
    raystream::Incoming incoming;
    if (session_.open({in_.data() + used + header, whole - header}, incoming))
      fail("a frame was refused");
    if (incoming.type != FrameType::kRpcResponse || incoming.payload.size() < options_.answer)
      fail("a call has failed: " + std::string(incoming.payload.data(), incoming.payload.size()));
    used += whole;
    return true;
  }

  void send_call() {
    if (sent_.empty()) sent_.resize(options_.window);
    sent_[begun_++ % sent_.size()] = now_ns();
    if (!options_.raystream) return wrap(plain_);
    char id[11];
    size_t size = 0;
    id[size++] = 0x08;
    uint64_t value = ++last_id_;
    for (; value > 127; value >>= 7) id[size++] = static_cast<char>(value | 0x80);
    id[size++] = static_cast<char>(value);
    seal({{id, size}, rest_});
  }

  const Options& options_;
  SSL* ssl_ = nullptr;
  raystream::Session session_;
  raystream::OutgoingBuffer sealed_;
  std::string in_, out_, plain_, rest_;
  std::vector<int64_t> sent_;
  uint64_t begun_ = 0, taken_ = 0, last_id_ = 0;
  size_t set_up_bytes_ = 0;
};

Options read_options(const Arguments& a) {
  Options o;
  const std::string url = a.text("--url");
  const std::string scheme = url.substr(0, url.find("://"));
  o.target = parse_target(url, scheme);
  o.tls = scheme == "wss";
  o.websocket = scheme != "tcp";
  o.raystream = a.has("--key");
  if (!o.websocket && !o.raystream) fail("tcp:// needs --key");
  if (o.raystream) {
    const std::string key = a.text("--key");
    const size_t colon = key.find(':');
    raystream::PinnedKey pinned{key.substr(0, colon), {}};
    const auto bytes = base64url_decode(key.substr(colon + 1));
    if (!bytes || bytes->size() != pinned.key.size()) fail("--key is no ID:KEY");
    std::copy(bytes->begin(), bytes->end(), pinned.key.begin());
    o.trust.pinned = {pinned};
    if (a.has("--cipher")) {
      const auto cipher = raystream::cipher_of(a.text("--cipher"));
      if (!cipher) fail("there is no such cipher");
      o.trust.ciphers = {*cipher};
    }
  }
  o.api_key = a.text("--api-key");
  o.bytes = static_cast<size_t>(a.integer("--bytes", 64, 1, 8'192));
  o.answer = static_cast<size_t>(a.integer("--answer", 200, 1, 1'024));
  o.window = static_cast<uint64_t>(a.integer("--window", 1, 1, 100));
  return o;
}

class CallLoad {
 public:
  CallLoad(const Options& options, size_t sessions) : epoll_(epoll_create1(EPOLL_CLOEXEC)) {
    SSL_CTX* tls = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_min_proto_version(tls, TLS1_3_VERSION);
    for (size_t i = 0; i < sessions; ++i) {
      connections_.push_back(std::make_unique<Connection>(options, tls));
      epoll_event event{.events = EPOLLIN, .data = {.ptr = connections_.back().get()}};
      epoll_ctl(epoll_, EPOLL_CTL_ADD, connections_.back()->fd, &event);
    }
    SSL_CTX_free(tls);
  }

  void begin(uint64_t window) {
    for (auto& connection : connections_) connection->begin(window);
  }

  void run(double seconds) {
    answers = 0;
    latency.clear();
    const int64_t start = now_ns();
    const int64_t end = start + static_cast<int64_t>(seconds * 1e9);
    while (now_ns() < end) {
      epoll_event events[256];
      const int ready = epoll_wait(epoll_, events, 256, 100);
      for (int i = 0; i < ready; ++i)
        answers += static_cast<Connection*>(events[i].data.ptr)->take(latency);
    }
    elapsed = static_cast<double>(now_ns() - start) / 1e9;
  }

  LatencyHistogram latency;
  uint64_t answers = 0;
  double elapsed = 0;

 private:
  const int epoll_;
  std::vector<std::unique_ptr<Connection>> connections_;
};

}  // namespace
}  // namespace raymesh::bench

int main(int argc, char** argv) {
  using namespace raymesh::bench;
  const Arguments a(argc, argv, kUsage,
                    {"--url", "--key", "--api-key", "--cipher", "--sessions", "--window", "--bytes",
                     "--answer", "--seconds", "--warmup", "--idle", "--pids", "--label"},
                    {});
  alarm(600);
  const auto sessions = static_cast<size_t>(a.integer("--sessions", 64, 1, 100'000));
  const rlimit files{sessions + 100, sessions + 100};
  if (sessions > 900 && setrlimit(RLIMIT_NOFILE, &files) != 0) fail("too few file descriptors");
  const Options options = read_options(a);
  const auto pids = a.pids("--pids");
  const Usage unconnected = usage_of(pids);
  const int64_t connect_start = now_ns();
  CallLoad load(options, sessions);
  const double connect_s = static_cast<double>(now_ns() - connect_start) / 1e9;
  if (a.has("--idle")) {
    const double own_before = own_cpu_seconds();
    const Usage connected = usage_of(pids);
    const auto seconds = a.integer("--idle", 10, 1, 50);
    std::this_thread::sleep_for(std::chrono::seconds(seconds));
    const Usage after = usage_of(pids);
    const double cpu = after.cpu_seconds - connected.cpu_seconds;
    std::printf(
        R"({"tool":"call_load","label":"%s","sessions":%zu,"connect_s":%.2f,"connect_cpu_us_each":%.1f,"resident_bytes_each":%.0f,"idle_cores":%.4f,"other_cores":%.2f})"
        "\n",
        a.text("--label").c_str(), sessions, connect_s,
        (connected.cpu_seconds - unconnected.cpu_seconds) * 1e6 / static_cast<double>(sessions),
        (static_cast<double>(after.resident_kib) - static_cast<double>(unconnected.resident_kib)) *
            1024 / static_cast<double>(sessions),
        cpu / static_cast<double>(seconds),
        (after.machine_seconds - connected.machine_seconds - cpu -
         (own_cpu_seconds() - own_before)) /
            static_cast<double>(seconds));
    return 0;
  }
  load.begin(options.window);
  load.run(static_cast<double>(a.integer("--warmup", 1, 0, 60)));
  const Usage before = usage_of(pids);
  const double own_before = own_cpu_seconds();
  load.run(static_cast<double>(a.integer("--seconds", 5, 1, 300)));
  const double own = own_cpu_seconds() - own_before;
  const Usage after = usage_of(pids);
  const double cpu = after.cpu_seconds - before.cpu_seconds;
  const auto answers = static_cast<double>(load.answers);
  std::printf(
      R"({"tool":"call_load","label":"%s","calls_per_s":%.0f,"calls_per_cpu_s":%.0f,"latency_us":%s,"server_cores":%.2f,"server_user_share":%.2f,"client_cores":%.2f,"other_cores":%.2f})"
      "\n",
      a.text("--label").c_str(), answers / load.elapsed, cpu > 0 ? answers / cpu : 0,
      load.latency.json().c_str(), cpu / load.elapsed,
      cpu > 0 ? (after.user_seconds - before.user_seconds) / cpu : 0, own / load.elapsed,
      (after.machine_seconds - before.machine_seconds - cpu - own) / load.elapsed);
  return answers > 0 ? 0 : 1;
}
