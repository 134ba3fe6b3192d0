#include "libs/redis/reply.hpp"

namespace raymesh::redis {
namespace {

bool begins(const Reply& reply, std::string_view word) {
  return std::string_view(reply.text).substr(0, word.size()) == word;
}

}  // namespace

Error to_error(const Reply& reply) {
  using std::chrono::milliseconds;
  if (begins(reply, "WRONGTYPE"))
    return {errors::kWrongType, "the key holds another type of value than this operation uses"};
  if (begins(reply, "LOADING") || begins(reply, "BUSY ") || begins(reply, "TRYAGAIN") ||
      begins(reply, "MASTERDOWN") || begins(reply, "READONLY") || begins(reply, "CLUSTERDOWN") ||
      begins(reply, "MISCONF") || begins(reply, "NOREPLICAS"))
    return {errors::kUnavailable, "Redis cannot answer now: " + reply.text, milliseconds(1000)};
  if (begins(reply, "NOAUTH") || begins(reply, "WRONGPASS") || begins(reply, "NOPERM"))
    return {errors::kUnavailable, "Redis refuses the configured login: " + reply.text,
            milliseconds(1000)};
  if (begins(reply, "OOM"))
    return {errors::kOverloaded, "Redis has reached its memory limit", milliseconds(1000)};
  return {errors::kInternal, "Redis refused a command: " + reply.text};
}

bool wants_new_connection(const Reply& reply) {
  return begins(reply, "READONLY") || begins(reply, "MASTERDOWN") || begins(reply, "NOAUTH");
}

Error unexpected_reply(std::string_view command) {
  return {errors::kInternal, "Redis gave an unexpected kind of reply to " + std::string(command)};
}

}  // namespace raymesh::redis
