// One of the cluster's two Redis stores: a connection to each of its primaries, and the ring that
// says which of them holds a partition. Owned by a service's app; calls from any thread.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "libs/redis/client.hpp"
#include "libs/redis/ring.hpp"

namespace raymesh::redis {

class Store {
 public:
  /// `urls` as parse_address takes them; `password` is for those that name none. `config` is the
  /// pattern for every primary (its address is replaced). Errors: invalid_request, with the url
  /// that is wrong; an unreachable Redis is no error.
  static Result<std::unique_ptr<Store>> open(boost::asio::io_context& context,
                                             const std::vector<std::string>& urls,
                                             const std::string& password,
                                             const ClientConfig& config);

  /// The primary of this partition.
  Client& at(std::string_view partition) { return *clients_[pick(partition)]; }
  size_t pick(std::string_view partition) const { return ring_.pick(partition); }
  Client& primary(size_t index) { return *clients_[index]; }
  const std::vector<std::unique_ptr<Client>>& primaries() const { return clients_; }
  /// unavailable, with the names of the primaries that are not connected.
  Status ready() const;
  void close();

 private:
  Store(Ring ring, std::vector<std::unique_ptr<Client>> clients)
      : ring_(std::move(ring)), clients_(std::move(clients)) {}

  const Ring ring_;
  std::vector<std::unique_ptr<Client>> clients_;
};

}  // namespace raymesh::redis
