// The plain WebSocket that raystream's calls are measured against: raymesh's own codec, listener
// and I/O threads, and nothing above them. Each message is answered with its first bytes, repeated
// or cut to one size.
//
//   ws_echo PORT ANSWER_BYTES     says "ready"
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>

#include "bench/tools/load_support.hpp"
#include "libs/net/byte_stream.hpp"
#include "libs/net/io_threads.hpp"
#include "libs/net/listener.hpp"
#include "libs/net/websocket/frame.hpp"
#include "libs/net/websocket/upgrade.hpp"

namespace raymesh::bench {
namespace {

using net::IoState;
namespace websocket = net::websocket;

constexpr size_t kScratch = 64 << 10;
size_t answer_bytes = 0;

class Echo : public std::enable_shared_from_this<Echo> {
 public:
  explicit Echo(net::Accepted accepted)
      : stream_(std::move(accepted.socket), nullptr), slot_(std::move(accepted.slot)) {}

  void wait() {
    stream_.wait_readable([self = shared_from_this()](boost::system::error_code ec) {
      if (!ec) self->read();
    });
  }

 private:
  void read() {
    thread_local std::unique_ptr<char[]> scratch(new char[kScratch]);
    const net::IoResult r = stream_.read(scratch.get(), kScratch);
    if (r.state == IoState::kWantRead) return wait();
    if (r.state != IoState::kDone) return end();
    if (in_.empty() && open_) {
      const size_t used = take({scratch.get(), r.bytes});
      in_.assign(scratch.get() + used, r.bytes - used);
    } else {
      in_.append(scratch.get(), r.bytes);
      if (!open_ && !upgrade()) return wait();
      in_.erase(0, take({in_.data(), in_.size()}));
    }
    flush();
  }

  bool upgrade() {
    const size_t end = websocket::find_head_end(in_, 0);
    if (end == std::string::npos) return false;
    const auto request = websocket::parse_upgrade(std::string_view(in_).substr(0, end));
    if (!request.ok() || !request->is_upgrade) fail("not an upgrade request");
    out_ += websocket::accept_response(request->key);
    in_.erase(0, end);
    return open_ = true;
  }

  size_t take(std::span<char> bytes) {
    size_t used = 0;
    for (;;) {
      websocket::Frame frame;
      const auto parsed = websocket::parse_client_frame(bytes.subspan(used), 1 << 20, frame);
      if (parsed.status != websocket::ParseStatus::kFrame) return used;
      used += parsed.bytes;
      const size_t header = out_.size();
      out_.resize(header + websocket::kMaxServerHeader);
      out_.resize(header + websocket::write_server_header(
                               out_.data() + header, websocket::Opcode::kBinary, answer_bytes));
      for (size_t left = answer_bytes; left > 0 && !frame.payload.empty();) {
        const size_t part = std::min(left, frame.payload.size());
        out_.append(frame.payload.data(), part);
        left -= part;
      }
    }
  }

  void flush() {
    while (!out_.empty()) {
      const net::IoResult r = stream_.write(out_.data(), out_.size());
      if (r.state == IoState::kWantWrite)
        return stream_.wait_writable([self = shared_from_this()](boost::system::error_code ec) {
          if (!ec) self->flush();
        });
      if (r.state != IoState::kDone) return end();
      out_.erase(0, r.bytes);
    }
    wait();
  }

  void end() {
    stream_.close();
    slot_.release();
  }

  net::ByteStream stream_;
  net::ConnectionSlot slot_;
  std::string in_, out_;
  bool open_ = false;
};

}  // namespace
}  // namespace raymesh::bench

int main(int argc, char** argv) {
  using namespace raymesh;
  if (argc != 3) bench::fail("usage: ws_echo PORT ANSWER_BYTES");
  bench::answer_bytes = static_cast<size_t>(std::atoi(argv[2]));
  sigset_t ends;
  sigemptyset(&ends);
  sigaddset(&ends, SIGTERM);
  sigaddset(&ends, SIGINT);
  pthread_sigmask(SIG_BLOCK, &ends, nullptr);
  net::IoThreads threads(2, "echo");
  net::ListenerConfig config;
  config.address = std::string("127.0.0.1:") + argv[1];
  auto listener = net::Listener::open(threads, config, [](net::Accepted accepted) {
    std::make_shared<bench::Echo>(std::move(accepted))->wait();
  });
  if (!listener.ok()) bench::fail(listener.error().message);
  std::puts("ready");
  std::fflush(stdout);
  int signal = 0;
  sigwait(&ends, &signal);
  (*listener)->close();
  threads.stop();
  return 0;
}
