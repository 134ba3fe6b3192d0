#include "libs/redis/store.hpp"

#include <algorithm>

namespace raymesh::redis {

Result<std::unique_ptr<Store>> Store::open(boost::asio::io_context& context,
                                           const std::vector<std::string>& urls,
                                           const std::string& password,
                                           const ClientConfig& config) {
  if (urls.empty()) return Error(errors::kInvalidRequest, "no Redis is configured");
  if (urls.size() > Ring::kPartitions)
    return Error(errors::kInvalidRequest, std::to_string(urls.size()) +
                                              " Redis primaries: at most " +
                                              std::to_string(Ring::kPartitions));
  std::vector<Address> addresses;
  std::vector<std::string> names;
  for (size_t i = 0; i < urls.size(); ++i) {
    auto address = parse_address(urls[i]);
    if (!address.ok())  // the url itself may hold a password
      return Error(errors::kInvalidRequest,
                   "item " + std::to_string(i + 1) + ": " + address.error().message);
    if (address->password.empty()) address->password = password;
    std::string name = address->name();
    if (std::find(names.begin(), names.end(), name) != names.end())
      return Error(errors::kInvalidRequest, "the Redis " + name + " is listed twice");
    names.push_back(std::move(name));
    addresses.push_back(std::move(*address));
  }
  std::vector<std::unique_ptr<Client>> clients;
  for (Address& address : addresses) {
    ClientConfig own = config;
    own.address = std::move(address);
    clients.push_back(std::make_unique<Client>(context, std::move(own)));
  }
  return std::unique_ptr<Store>(new Store(Ring(names), std::move(clients)));
}

Status Store::ready() const {
  std::string missing;
  for (const auto& client : clients_)
    if (!client->ready()) missing += (missing.empty() ? "" : ", ") + client->name();
  if (missing.empty()) return ok_status();
  return Error(errors::kUnavailable, "no connection to Redis at " + missing);
}

void Store::close() {
  for (const auto& client : clients_) client->close();
}

}  // namespace raymesh::redis
