// The headers and trailers of an HTTP/2 stream. Values; any thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace raymesh::rpc {

struct Header {
  std::string name;  // lower case
  std::string value;
};
using Headers = std::vector<Header>;

/// The first value of that name; empty when there is none.
inline std::string_view find_header(const Headers& headers, std::string_view name) {
  for (const Header& header : headers)
    if (header.name == name) return header.value;
  return {};
}

}  // namespace raymesh::rpc
