// Turns names into addresses on one background thread of the process, because getaddrinfo blocks.
// Thread-safe. Never destroyed: at exit it may be waiting for a name server.
#pragma once

#include <condition_variable>
#include <deque>
#include <mutex>
#include <string>
#include <vector>

#include "libs/base/unique_function.hpp"

namespace raymesh::rpc {

class Resolver {
 public:
  /// Numeric addresses ("10.0.0.7:5002", "[fd00::7]:5002"), sorted, none twice; empty when the name
  /// does not resolve.
  using Done = UniqueFunction<void(std::vector<std::string>)>;

  static Resolver& shared();
  /// `done` runs on the resolver's thread and holds what it needs by weak_ptr. A user asks again
  /// only after its last answer, which bounds the queue.
  void resolve(std::string host, std::string port, Done done);

 private:
  Resolver();
  void loop();

  struct Question {
    std::string host;
    std::string port;
    Done done;
  };
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Question> questions_;
};

}  // namespace raymesh::rpc
