#include "clients/cpp/src/server_keys.hpp"

#include <algorithm>
#include <boost/system/system_error.hpp>
#include <optional>

#include "clients/cpp/src/failures.hpp"
#include "clients/cpp/src/transport.hpp"
#include "libs/base/encoding.hpp"
#include "libs/base/host_port.hpp"
#include "libs/base/json_reader.hpp"

namespace raymesh::client {
namespace {

constexpr char kTarget[] = "/api/v1/raystream/key";

std::optional<raystream::PinnedKey> pin(std::string id, std::string_view key) {
  raystream::PinnedKey pinned{std::move(id), {}};
  std::string bytes(key);
  if (bytes.size() != pinned.key.size()) bytes = base64url_decode(key).value_or("");
  if (bytes.size() != pinned.key.size()) return std::nullopt;
  std::copy(bytes.begin(), bytes.end(), pinned.key.begin());
  return pinned;
}

std::string member(JsonValue object, std::string_view name) {
  std::string scratch;
  if (!object.is(JsonKind::kObject)) return {};
  for (JsonMembers members(object); members.next();)
    if (members.key(scratch) == name && members.value().is(JsonKind::kString))
      return std::string(members.value().text(scratch));
  return {};
}

std::vector<raystream::PinnedKey> read_keys(const std::string& body) {
  std::vector<raystream::PinnedKey> keys;
  const auto json = parse_json(body);
  if (!json || !json->is(JsonKind::kObject)) return keys;
  std::string scratch;
  for (JsonMembers members(*json); members.next();) {
    if (members.key(scratch) != "keys" || !members.value().is(JsonKind::kArray)) continue;
    for (JsonMembers list(members.value()); list.next();) {
      if (member(list.value(), "algorithm") != "ed25519") continue;
      auto key = pin(member(list.value(), "id"), member(list.value(), "publicKey"));
      if (key) keys.push_back(std::move(*key));
    }
  }
  return keys;
}

Error refused(const HttpAnswer& answer) {
  const ErrorCode code = answer.status == 401   ? ErrorCode::kUnauthorized
                         : answer.status == 429 ? ErrorCode::kRateLimited
                         : answer.status >= 500 ? ErrorCode::kServiceUnavailable
                                                : ErrorCode::kNotFound;
  const auto json = parse_json(answer.body);
  std::string precise = json ? member(*json, "code") : "";
  std::string message = json ? member(*json, "error") : "";
  if (precise.empty()) precise = "server_keys_unknown";
  if (message.empty()) message = std::string(kTarget) + " answers " + std::to_string(answer.status);
  return {code, answer.status, precise, message};
}

}  // namespace

std::vector<raystream::PinnedKey> pinned_keys(const std::vector<ServerKey>& keys) {
  std::vector<raystream::PinnedKey> pinned;
  for (const ServerKey& key : keys) {
    auto one = pin(key.id, key.public_key);
    if (!one)
      throw invalid_option("the server key \"" + key.id + "\" is not 32 bytes or their base64url");
    pinned.push_back(std::move(*one));
  }
  return pinned;
}

boost::asio::awaitable<std::vector<raystream::PinnedKey>> fetch_server_keys(
    const Address& address, const std::string& tls_ca_file, const std::string& api_key) {
  if (!address.websocket || (!address.tls && !is_loopback_host(address.host)))
    throw Error(ErrorCode::kUnauthorized, 0, "server_keys_needed",
                "the server's keys cannot be read from " + address.authority() +
                    " in a way that could be trusted: give them as server_keys");
  HttpAnswer answer;
  std::string failure;
  try {
    answer = co_await http_get(address, tls_ca_file, kTarget, api_key);
  } catch (const boost::system::system_error& error) {
    failure = error.code().message();
  }
  if (!failure.empty())
    throw network_error("the servers' keys cannot be read from " + address.authority() + ": " +
                        failure);
  if (answer.status != 200) throw refused(answer);
  std::vector<raystream::PinnedKey> keys = read_keys(answer.body);
  if (keys.empty())
    throw Error(ErrorCode::kNotFound, 200, "server_keys_unknown",
                "what " + address.authority() + kTarget + " answers has no key");
  co_return keys;
}

}  // namespace raymesh::client
