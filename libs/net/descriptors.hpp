// The process's table of file descriptors. Any thread.
#pragma once

#include <cstddef>

namespace raymesh::net {

/// Makes room for `count` more descriptors, as far as the limit on open files goes. Linux doubles
/// the table as it fills, and when threads share it, whoever opens the next descriptor waits for an
/// RCU grace period each time, some 10 ms: a server that makes room at its start does not stand
/// still while its first callers come all at once. Costs 8 bytes of kernel memory for each.
void reserve_descriptors(size_t count);

}  // namespace raymesh::net
