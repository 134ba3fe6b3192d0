// HTTP/1.1 load over keep-alive connections, one request in flight on each. Closed loop, or open
// loop at a fixed rate, where a request's latency counts from the moment it was due, not from when
// a connection was free for it.
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>

#include "bench/tools/load_support.hpp"

namespace raymesh::bench {
namespace {

constexpr std::string_view kUsage = R"(http_load --url http://127.0.0.1:PORT/path [options]
  --connections N   keep-alive connections (default 64)
  --seconds N       measured time (default 5), after --warmup N seconds (default 1)
  --rate N          requests per second, due evenly (default 0: closed loop)
  --header 'A: b'   repeatable
  --body TEXT       POST this; {rand:N} becomes a number from 1 to N, {n} the request's number
  --expect TEXT     a 200 without TEXT in its body counts as wrong
  --pids A,B        servers whose CPU and memory to report, with their children
  --label TEXT
Prints one JSON line. Loopback only.
)";

class BodyTemplate {
 public:
  explicit BodyTemplate(const std::string& text) {
    size_t at = 0;
    for (size_t open; (open = text.find('{', at)) != std::string::npos;) {
      const size_t close = text.find('}', open);
      const std::string name =
          close == std::string::npos ? "" : text.substr(open + 1, close - open - 1);
      uint64_t range = 0;
      if (name.starts_with("rand:")) range = std::strtoull(name.c_str() + 5, nullptr, 10);
      if (name == "n" || range > 0) {
        parts_.push_back({pending_ + text.substr(at, open - at), range});
        pending_.clear();
        at = close + 1;
      } else {
        pending_ += text.substr(at, open + 1 - at);
        at = open + 1;
      }
    }
    pending_ += text.substr(at);
  }

  void render(std::string& out, uint64_t number) {
    for (const Part& part : parts_) {
      out += part.before;
      out += std::to_string(part.range == 0 ? number : 1 + next_random() % part.range);
    }
    out += pending_;
  }

 private:
  struct Part {
    std::string before;
    uint64_t range;  // 0: the request's number
  };
  uint64_t next_random() {  // xorshift64*, the same sequence in every run
    state_ ^= state_ >> 12;
    state_ ^= state_ << 25;
    state_ ^= state_ >> 27;
    return state_ * 0x2545f4914f6cdd1dULL;
  }
  std::vector<Part> parts_;
  std::string pending_;
  uint64_t state_ = 0x9e3779b97f4a7c15ULL;
};

struct Connection {
  int fd = -1;
  bool busy = false;
  int64_t due = 0;
  std::string out;
  size_t sent = 0;
  std::string in;
};

class HttpLoad {
 public:
  explicit HttpLoad(const Arguments& a)
      : target_(parse_target(a.text("--url"), "http")),
        body_(a.text("--body")),
        expect_(a.text("--expect")),
        connections_(static_cast<size_t>(a.integer("--connections", 64, 1, 20'000))),
        rate_(a.integer("--rate", 0, 0, 1'000'000)),
        epoll_(epoll_create1(EPOLL_CLOEXEC)) {
    const bool post = a.has("--body");
    head_ = (post ? "POST " : "GET ") + target_.path + " HTTP/1.1\r\nHost: " + target_.host + ":" +
            std::to_string(target_.port) + "\r\n";
    for (const auto& header : a.all("--header")) head_ += header + "\r\n";
    if (post) head_ += "Content-Type: application/json\r\nContent-Length: ";
    post_ = post;
    for (Connection& c : connections_) open(c);
    if (rate_ > 0) arm_timer();
  }

  void run(double seconds) {
    clear();
    start_ = now_ns();
    next_due_ = start_;
    end_ = start_ + static_cast<int64_t>(seconds * 1e9);
    if (rate_ == 0)
      for (Connection& c : connections_)
        if (!c.busy) send_request(c, now_ns());
    epoll_event events[256];
    while (now_ns() < end_) {
      const int n = epoll_wait(epoll_, events, 256, 20);
      for (int i = 0; i < n; ++i) {
        if (events[i].data.ptr == nullptr) {
          uint64_t ticks;
          [[maybe_unused]] ssize_t r = read(timer_, &ticks, sizeof ticks);
        } else {
          on_event(*static_cast<Connection*>(events[i].data.ptr), events[i].events);
        }
      }
      if (rate_ > 0) dispatch_due();
    }
    elapsed_ = static_cast<double>(now_ns() - start_) / 1e9;
  }

  LatencyHistogram latency;
  uint64_t replies = 0, not_ok = 0, wrong = 0, broken = 0;
  double elapsed_ = 0;

 private:
  void clear() {
    latency.clear();
    replies = not_ok = wrong = broken = 0;
  }

  void open(Connection& c) {
    if (c.fd >= 0) close(c.fd);
    c = Connection{};
    c.fd = connect_loopback(target_.host, target_.port);
    epoll_event e{};
    e.events = EPOLLIN | EPOLLOUT | EPOLLET;
    e.data.ptr = &c;
    epoll_ctl(epoll_, EPOLL_CTL_ADD, c.fd, &e);
    if (rate_ > 0) idle_.push_back(&c);
  }

  void arm_timer() {
    prctl(PR_SET_TIMERSLACK, 1);
    timer_ = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    const int64_t interval = 1'000'000'000 / rate_;
    itimerspec spec{};
    spec.it_interval.tv_sec = interval / 1'000'000'000;
    spec.it_interval.tv_nsec = interval % 1'000'000'000;
    spec.it_value.tv_nsec = 1;
    timerfd_settime(timer_, 0, &spec, nullptr);
    epoll_event e{};
    e.events = EPOLLIN;
    e.data.ptr = nullptr;
    epoll_ctl(epoll_, EPOLL_CTL_ADD, timer_, &e);
  }

  void dispatch_due() {
    const int64_t now = now_ns();
    for (; next_due_ <= now; next_due_ += 1'000'000'000 / rate_) due_.push_back(next_due_);
    while (!due_.empty() && !idle_.empty()) {
      Connection* c = idle_.front();
      idle_.pop_front();
      send_request(*c, due_.front());
      due_.pop_front();
    }
  }

  void send_request(Connection& c, int64_t due) {
    c.out = head_;
    if (post_) {
      rendered_.clear();
      body_.render(rendered_, ++number_);
      c.out += std::to_string(rendered_.size());
      c.out += "\r\n\r\n";
      c.out += rendered_;
    } else {
      c.out += "\r\n";
    }
    c.sent = 0;
    c.busy = true;
    c.due = due;
    flush(c);
  }

  void flush(Connection& c) {
    while (c.sent < c.out.size()) {
      const ssize_t n = send(c.fd, c.out.data() + c.sent, c.out.size() - c.sent, MSG_NOSIGNAL);
      if (n < 0) {
        if (errno != EAGAIN && errno != ENOTCONN) reconnect(c);
        return;
      }
      c.sent += static_cast<size_t>(n);
    }
  }

  void reconnect(Connection& c) {
    if (++broken > 1000) fail("more than 1000 connections broke");
    open(c);
    if (rate_ == 0) send_request(c, now_ns());
  }

  void on_event(Connection& c, uint32_t events) {
    if (c.busy && (events & EPOLLOUT)) flush(c);
    char buffer[65536];
    for (;;) {
      const ssize_t n = recv(c.fd, buffer, sizeof buffer, 0);
      if (n < 0 && errno == EAGAIN) return;
      if (n <= 0) {
        if (n < 0 && errno == ENOTCONN) return;
        reconnect(c);
        return;
      }
      c.in.append(buffer, static_cast<size_t>(n));
      if (!take_reply(c)) return;
      if (static_cast<size_t>(n) < sizeof buffer) return;
    }
  }

  // True when the connection is still the same one and goes on.
  bool take_reply(Connection& c) {
    const size_t head_end = c.in.find("\r\n\r\n");
    if (head_end == std::string::npos) return true;
    std::string chunks;
    std::string_view body;
    if (const size_t at = find_header(c.in, "content-length:", head_end); at != std::string::npos) {
      const size_t length = std::strtoull(c.in.c_str() + at, nullptr, 10);
      if (c.in.size() < head_end + 4 + length) return true;
      body = std::string_view(c.in).substr(head_end + 4, length);
    } else if (find_header(c.in, "transfer-encoding:", head_end) != std::string::npos) {
      if (!join_chunks(std::string_view(c.in).substr(head_end + 4), chunks)) return true;
      body = chunks;
    } else {
      fail("a reply without a length: " + c.in.substr(0, head_end));
    }
    latency.record(now_ns() - c.due);
    ++replies;
    if (c.in.compare(9, 3, "200") != 0) {
      if (not_ok++ == 0) std::fprintf(stderr, "first refusal: %.300s\n", c.in.c_str());
    } else if (!expect_.empty() && body.find(expect_) == std::string_view::npos) {
      if (wrong++ == 0) std::fprintf(stderr, "first wrong reply: %.300s\n", c.in.c_str());
    }
    c.busy = false;
    c.in.clear();
    if (rate_ > 0)
      idle_.push_back(&c);
    else
      send_request(c, now_ns());
    return true;
  }

  // RFC 9112 section 7.1, without trailers. False: more has to come.
  static bool join_chunks(std::string_view in, std::string& body) {
    for (;;) {
      const size_t line = in.find("\r\n");
      if (line == std::string_view::npos) return false;
      const size_t length = std::strtoull(std::string(in.substr(0, line)).c_str(), nullptr, 16);
      if (in.size() < line + 2 + length + 2) return false;
      if (length == 0) return true;
      body += in.substr(line + 2, length);
      in.remove_prefix(line + 2 + length + 2);
    }
  }

  static size_t find_header(const std::string& in, std::string_view name, size_t end) {
    for (size_t at = in.find("\r\n"); at < end; at = in.find("\r\n", at + 2))
      if (strncasecmp(in.data() + at + 2, name.data(), name.size()) == 0)
        return at + 2 + name.size();
    return std::string::npos;
  }

  Target target_;
  BodyTemplate body_;
  std::string expect_, head_, rendered_;
  bool post_ = false;
  std::vector<Connection> connections_;
  std::deque<Connection*> idle_;
  std::deque<int64_t> due_;
  int64_t rate_, start_ = 0, end_ = 0, next_due_ = 0;
  uint64_t number_ = 0;
  int epoll_;
  int timer_ = -1;
};

}  // namespace
}  // namespace raymesh::bench

int main(int argc, char** argv) {
  using namespace raymesh::bench;
  const Arguments a(argc, argv, kUsage,
                    {"--url", "--connections", "--seconds", "--warmup", "--rate", "--header",
                     "--body", "--expect", "--pids", "--label"},
                    {});
  alarm(600);
  HttpLoad load(a);
  if (const auto warmup = a.integer("--warmup", 1, 0, 60); warmup > 0)
    load.run(static_cast<double>(warmup));
  const auto pids = a.pids("--pids");
  const Usage before = usage_of(pids);
  const double own_before = own_cpu_seconds();
  load.run(static_cast<double>(a.integer("--seconds", 5, 1, 300)));
  const double own = own_cpu_seconds() - own_before;
  const Usage after = usage_of(pids);
  const double cpu = after.cpu_seconds - before.cpu_seconds;
  const auto replies = static_cast<double>(load.replies);
  std::printf(
      R"({"tool":"http_load","label":"%s","requests_per_s":%.0f,"latency_us":%s,"not_ok":%llu,"wrong":%llu,"broken":%llu,)"
      R"("server_cpu_us_per_request":%.2f,"requests_per_cpu_s":%.0f,"server_cores":%.2f,"resident_kib":%llu,"other_cores":%.2f})"
      "\n",
      a.text("--label").c_str(), replies / load.elapsed_, load.latency.json().c_str(),
      static_cast<unsigned long long>(load.not_ok), static_cast<unsigned long long>(load.wrong),
      static_cast<unsigned long long>(load.broken), replies > 0 ? cpu * 1e6 / replies : 0,
      cpu > 0 ? replies / cpu : 0, cpu / load.elapsed_,
      static_cast<unsigned long long>(after.resident_kib),
      (after.machine_seconds - before.machine_seconds - cpu - own) / load.elapsed_);
  return load.replies == 0 ? 1 : 0;
}
