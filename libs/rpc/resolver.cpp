#include "libs/rpc/resolver.hpp"

#include <arpa/inet.h>
#include <netdb.h>
#include <pthread.h>
#include <sys/socket.h>

#include <algorithm>
#include <thread>

namespace raymesh::rpc {
namespace {

std::vector<std::string> look_up(const std::string& host, const std::string& port) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_ADDRCONFIG | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  if (getaddrinfo(host.c_str(), port.c_str(), &hints, &found) != 0) return {};
  std::vector<std::string> out;
  for (const addrinfo* a = found; a; a = a->ai_next) {
    char text[NI_MAXHOST];
    if (getnameinfo(a->ai_addr, a->ai_addrlen, text, sizeof text, nullptr, 0, NI_NUMERICHOST) != 0)
      continue;
    out.push_back(a->ai_family == AF_INET6 ? "[" + std::string(text) + "]:" + port
                                           : std::string(text) + ":" + port);
  }
  freeaddrinfo(found);
  std::sort(out.begin(), out.end());
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}

}  // namespace

Resolver& Resolver::shared() {
  static auto* resolver = new Resolver;
  return *resolver;
}

Resolver::Resolver() {
  std::thread([this] {
    pthread_setname_np(pthread_self(), "rpc-resolver");
    loop();
  }).detach();
}

void Resolver::resolve(std::string host, std::string port, Done done) {
  {
    std::lock_guard lock(mutex_);
    questions_.push_back({std::move(host), std::move(port), std::move(done)});
  }
  changed_.notify_one();
}

void Resolver::loop() {
  for (;;) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return !questions_.empty(); });
    Question question = std::move(questions_.front());
    questions_.pop_front();
    lock.unlock();
    question.done(look_up(question.host, question.port));
  }
}

}  // namespace raymesh::rpc
