// What the ops port answers, without sockets: requests in, responses out. Pure apart from the
// checks and the registry that it reads. Used by the ops thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "libs/host/app.hpp"
#include "libs/telemetry/metrics.hpp"

namespace raymesh::host {

struct OpsView {
  metrics::Registry& registry;
  const std::vector<Check>& checks;
  const std::vector<Page>& pages;
  bool draining = false;
};

/// `head` is a request's head up to and including the empty line. The answer is a whole HTTP/1.1
/// response with Connection: close. GET and HEAD of /metrics, /healthz, /readyz and the pages; 400,
/// 404 and 405 for the rest.
std::string answer_ops_request(std::string_view head, const OpsView& view);

}  // namespace raymesh::host
