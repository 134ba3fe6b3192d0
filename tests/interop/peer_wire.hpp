// What both roles of raystream_peer share: a blocking TCP socket with frames on it, calls in parts,
// the lines that the test reads. One thread.
#pragma once

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "libs/raystream/frame_stream.hpp"
#include "libs/raystream/session.hpp"

namespace raymesh::raystream {

[[noreturn]] inline void die(const std::string& why) {
  std::fprintf(stderr, "raystream_peer: %s\n", why.c_str());
  std::exit(2);
}

inline void say(const std::string& line) {
  std::puts(line.c_str());
  std::fflush(stdout);
}

inline uint64_t in_five_minutes() {
  using namespace std::chrono;
  return duration_cast<milliseconds>((system_clock::now() + minutes(5)).time_since_epoch()).count();
}

template <typename Message>
bool parse(std::span<const char> bytes, Message& message) {
  return message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()));
}

/// What a frame did: the connection goes on, or it is over.
enum class Go : uint8_t { kOn, kOver };

/// A connected socket, and the frames that come over it.
class Wire {
 public:
  explicit Wire(int fd) : fd_(fd) {
    const int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  }
  ~Wire() { close(fd_); }
  Wire(const Wire&) = delete;
  Wire& operator=(const Wire&) = delete;

  OutgoingBuffer out;

  void flush() {
    while (!out.empty()) {
      const ssize_t sent = send(fd_, out.bytes().data(), out.size(), MSG_NOSIGNAL);
      if (sent <= 0) break;
      out.consumed(static_cast<size_t>(sent));
    }
    out.consumed(out.size());
  }

  /// Says how it ended, and tells the other end.
  Go over(const char* who, ErrorCode code) {
    flush();
    say(std::string("ended ") + who + " " + std::string(name_of(code)));
    // Bytes that nobody has read make TCP reset the connection at close(), and CLOSE may be lost
    // with it: what still comes is thrown away until the other end closes, too.
    const timeval patience{.tv_sec = 5, .tv_usec = 0};
    setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    shutdown(fd_, SHUT_WR);
    while (recv(fd_, input_.data(), input_.size(), 0) > 0) {
    }
    return Go::kOver;
  }

  /// Gives frames to `take` until it is over or `until` holds. What is queued leaves before each
  /// wait.
  Go run(const std::function<Expected()>& expected, const std::function<Go(std::span<char>)>& take,
         const std::function<Go(Refusal)>& refused, const std::function<bool()>& until) {
    while (!until()) {
      const FrameStream::Next next = stream_.next(expected());
      if (next.status == ParseStatus::kFrame) {
        if (take(next.frame) == Go::kOver) return Go::kOver;
        continue;
      }
      if (next.status == ParseStatus::kRefused) return refused(next.refusal);
      flush();
      const ssize_t got = recv(fd_, input_.data(), input_.size(), 0);
      if (got <= 0) return over("drop", ErrorCode::kNone);
      stream_.feed({input_.data(), static_cast<size_t>(got)});
    }
    flush();
    return Go::kOn;
  }

 private:
  int fd_;
  FrameBudget budget_{size_t{64} << 20};
  FrameStream stream_{budget_};
  std::vector<char> input_ = std::vector<char>(size_t{64} << 10);
};

inline Go end_session(Wire& wire, Session& session, Refusal refusal) {
  session.close(refusal.code, refusal.why, wire.out);
  return wire.over("us", refusal.code);
}

/// `bytes` in as many frames as the limit wants; the first message is `first`.
template <typename Message>
void seal_parts(FrameType type, Message first, std::string_view bytes,
                void (*put)(Message&, std::string_view), Session& session, OutgoingBuffer& out) {
  do {
    first.set_more(true);
    // The field's key and length take at most 8 bytes.
    const size_t room = session.max_payload() - first.ByteSizeLong() - 8;
    const std::string_view part = bytes.substr(0, room);
    bytes.remove_prefix(part.size());
    put(first, part);
    first.set_more(!bytes.empty());
    if (session.seal(type, first, out) != Sent::kOk) die("cannot seal");
    const uint64_t call_id = first.call_id();
    first.Clear();
    first.set_call_id(call_id);
  } while (!bytes.empty());
}

inline std::string position_of(size_t count) {
  std::string bytes(8, '\0');
  for (int i = 7; i >= 0; --i, count >>= 8) bytes[i] = static_cast<char>(count & 0xff);
  return bytes;
}

inline size_t count_of(std::string_view position) {
  size_t count = 0;
  for (const char byte : position) count = (count << 8) | static_cast<unsigned char>(byte);
  return count;
}

}  // namespace raymesh::raystream
