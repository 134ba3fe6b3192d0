#include "libs/redis/script.hpp"

#include <boost/uuid/detail/sha1.hpp>

#include "libs/base/encoding.hpp"

namespace raymesh::redis {
namespace {

// Redis names scripts by SHA-1; nothing secret or secure hangs on it.
std::string sha1_hex(const std::string& text) {
  boost::uuids::detail::sha1 hash;
  hash.process_bytes(text.data(), text.size());
  boost::uuids::detail::sha1::digest_type words;
  hash.get_digest(words);
  std::string bytes;
  for (unsigned word : words)
    for (int shift = 24; shift >= 0; shift -= 8) bytes.push_back(static_cast<char>(word >> shift));
  return hex_encode(bytes);
}

}  // namespace

Script::Script(const std::string& source)
    : digest_(sha1_hex(source)),
      load_("SCRIPT", "LOAD", source),
      evalsha_("EVALSHA", digest_),
      eval_("EVAL", source) {}

}  // namespace raymesh::redis
