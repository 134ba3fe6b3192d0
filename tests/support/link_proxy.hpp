// A network link that tests can break: listens on loopback and passes bytes on to a unix socket,
// until it is told to cut the connections, or to pass nothing in one direction or both while they
// stay open. One thread of its own; any thread may call it.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <thread>

namespace raymesh::test {

class LinkProxy {
 public:
  enum class Mode : uint8_t {
    kPass,
    kStall,       // connections stay open, nothing passes: a half-open link
    kStallBack,   // only what the server sends does not pass
    kStallForth,  // only what the client sends does not pass
    kCut,         // connections are closed, new ones as soon as they come
  };

  explicit LinkProxy(std::string target_socket);
  ~LinkProxy();
  LinkProxy(const LinkProxy&) = delete;
  LinkProxy& operator=(const LinkProxy&) = delete;

  std::string url() const { return "redis://127.0.0.1:" + std::to_string(port_); }
  void set(Mode mode);
  /// Closes the connections that there are now; new ones pass.
  void reset();

 private:
  void run();

  const std::string target_;
  int listen_fd_ = -1;
  int wake_[2] = {-1, -1};
  uint16_t port_ = 0;
  std::atomic<Mode> mode_{Mode::kPass};
  std::atomic<bool> reset_{false};
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

}  // namespace raymesh::test
