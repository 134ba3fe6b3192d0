// The gRPC face of the auth service: maps its messages to Accounts and back. Handlers run on the
// server's I/O threads and hand over at once.
#pragma once

#include <memory>

#include "libs/rpc/method_table.hpp"
#include "raymesh/auth/v1/auth.pb.h"

namespace raymesh::auth {

class Accounts;

/// The methods, for both doors. `accounts` outlives the server.
rpc::MethodTable auth_methods(Accounts& accounts);

}  // namespace raymesh::auth
