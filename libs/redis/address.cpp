#include "libs/redis/address.hpp"

#include <sys/un.h>

#include <charconv>
#include <optional>

#include "libs/base/encoding.hpp"
#include "libs/base/host_port.hpp"

namespace raymesh::redis {
namespace {

constexpr std::string_view kForms =
    "; expected redis://[user:password@]host:port[/database], unix:/path or host:port";

Error bad(std::string_view what) {
  return {errors::kInvalidRequest,
          "not the address of a Redis: " + std::string(what) + std::string(kForms)};
}

std::optional<int> database_number(std::string_view text) {
  int n = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), n);
  if (error != std::errc() || end != text.data() + text.size() || n < 0 || n > 65'535)
    return std::nullopt;
  return n;
}

Result<Address> parse_unix(std::string_view rest) {
  Address address;
  if (rest.substr(0, 2) == "//") rest.remove_prefix(2);
  size_t query = rest.find('?');
  if (query != std::string_view::npos) {
    std::string_view option = rest.substr(query + 1);
    rest = rest.substr(0, query);
    constexpr std::string_view kDatabase = "database=";
    auto number = option.substr(0, kDatabase.size()) == kDatabase
                      ? database_number(option.substr(kDatabase.size()))
                      : std::nullopt;
    if (!number) return bad("after '?' only database=N is known");
    address.database = *number;
  }
  if (rest.empty() || rest.front() != '/') return bad("the socket's path is not absolute");
  if (rest.size() >= sizeof(sockaddr_un::sun_path)) return bad("the socket's path is too long");
  address.path = rest;
  return address;
}

}  // namespace

std::string Address::name() const {
  std::string text = path.empty() ? HostPort{host, port}.to_string() : "unix:" + path;
  if (database != 0) text += "/" + std::to_string(database);
  return text;
}

Result<Address> parse_address(std::string_view text) {
  constexpr std::string_view kUnix = "unix:", kRedis = "redis://";
  if (text.substr(0, kUnix.size()) == kUnix) return parse_unix(text.substr(kUnix.size()));

  Address address;
  if (text.substr(0, kRedis.size()) == kRedis) {
    text.remove_prefix(kRedis.size());
    size_t slash = text.rfind('/');
    if (slash != std::string_view::npos && text.find('@', slash) == std::string_view::npos) {
      auto number = slash + 1 == text.size() ? std::optional<int>(0)
                                             : database_number(text.substr(slash + 1));
      if (!number) return bad("the database is not a number");
      address.database = *number;
      text = text.substr(0, slash);
    }
    size_t at = text.rfind('@');
    if (at != std::string_view::npos) {
      std::string_view login = text.substr(0, at);
      text.remove_prefix(at + 1);
      size_t colon = login.find(':');
      if (colon == std::string_view::npos) return bad("before '@' stands user:password");
      auto user = percent_decode(login.substr(0, colon));
      auto password = percent_decode(login.substr(colon + 1));
      if (!user || !password) return bad("user or password is not percent-encoded");
      address.user = *user;
      address.password = *password;
    }
    if (text.find(':') == std::string_view::npos || (text.front() == '[' && text.back() == ']')) {
      if (text.empty()) return bad("the host is missing");
      std::string with_port = std::string(text) + ":6379";
      auto parsed = parse_host_port(with_port);
      if (!parsed.ok()) return bad(parsed.error().message);
      address.host = parsed->host;
      return address;
    }
  }
  auto parsed = parse_host_port(text);
  if (!parsed.ok()) return bad("no valid host:port");
  if (parsed->host.empty() || parsed->port == 0) return bad("host or port is missing");
  address.host = parsed->host;
  address.port = parsed->port;
  return address;
}

}  // namespace raymesh::redis
