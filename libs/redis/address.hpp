// Where a Redis is, as it stands in configuration. Pure, any thread.
//
//   redis://[[user]:password@]host[:port][/database]     port 6379, database 0
//   unix:/path/of/socket[?database=N]                    also unix:///path
//   host:port
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "libs/base/result.hpp"

namespace raymesh::redis {

struct Address {
  std::string path;  // of a unix socket; empty: TCP
  std::string host;
  uint16_t port = 6379;
  std::string user;      // empty: the default user
  std::string password;  // a secret
  int database = 0;

  /// Without user and password: for logs, metrics and the ring.
  std::string name() const;
};

/// invalid_request, with a message that never shows the password.
Result<Address> parse_address(std::string_view text);

}  // namespace raymesh::redis
