// A Lua script. The client loads it when it connects and calls it by its digest; when Redis does
// not know it (SCRIPT FLUSH, a failover), the call is repeated with the source, which is safe
// because nothing ran. Immutable, usually a static constant: it must outlive every client that uses
// it. Any thread.
#pragma once

#include <string>

#include "libs/redis/command.hpp"

namespace raymesh::redis {

class Script {
 public:
  explicit Script(const std::string& source);

  /// SHA-1 of the source, in hex: what SCRIPT LOAD answers.
  const std::string& digest() const { return digest_; }
  const Command& load() const { return load_; }
  /// The two heads of a call; number of keys, keys and arguments follow.
  const Command& evalsha() const { return evalsha_; }
  const Command& eval() const { return eval_; }

 private:
  std::string digest_;
  Command load_;
  Command evalsha_;
  Command eval_;
};

}  // namespace raymesh::redis
