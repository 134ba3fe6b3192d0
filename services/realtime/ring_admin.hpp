// The operator's side of the list of Redis primaries: shows and changes it, for the command line.
// Every call waits for Redis. One thread.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "libs/base/result.hpp"
#include "libs/net/io_threads.hpp"
#include "libs/redis/client.hpp"
#include "services/realtime/ring_record.hpp"

namespace raymesh::realtime {

class RingAdmin {
 public:
  /// `urls`: primaries that are known, good urls; as long as no ring was ever set, all that the
  /// nodes have. `password` is for those that name none, and for those that are found.
  RingAdmin(std::vector<std::string> urls, std::string password);
  ~RingAdmin();

  /// The newest list that a known primary keeps. Errors: unavailable.
  Result<RingRecord> newest();
  /// Makes it the list, first on the primaries of before, so that nothing is done with the old one
  /// any more when the first node has the new one. `lost`: of the present ones, those that are gone
  /// for good and are not told. Every other one must answer. Errors: invalid_request, unavailable,
  /// conflict when somebody else has changed it meanwhile.
  Result<RingRecord> set(const std::vector<std::string>& urls,
                         const std::vector<std::string>& lost);

 private:
  redis::Client& client(const std::string& url);
  /// The list that the primary keeps; version 0 when it keeps none.
  Result<RingRecord> read(const std::string& url);
  Status write(const std::string& url, const RingRecord& record);

  const std::vector<std::string> urls_;
  const std::string password_;
  net::IoThreads io_;
  std::map<std::string, std::unique_ptr<redis::Client>> clients_;  // by plain url
};

}  // namespace raymesh::realtime
