// What Prometheus' clients report about their own process: read from /proc when it is scraped.
// Linux only. Any thread.
#pragma once

#include "libs/telemetry/metrics.hpp"

namespace raymesh::metrics {

void add_process_metrics(Registry& registry);

}  // namespace raymesh::metrics
