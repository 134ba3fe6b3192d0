// Who the user is on whose behalf a request comes, for handlers that must know it: by the access
// token, from the thread's cache or from auth. On the request's I/O thread.
#pragma once

#include "services/gateway/exchange.hpp"

namespace raymesh::gateway {

/// Sets user and session in the context and runs `then`, at once or later; without a token `then`
/// runs as it is. A token that is not valid has been answered with 401. `ex.note` stays as it is.
void with_user(Exchange& ex, void (*then)(Exchange&));

}  // namespace raymesh::gateway
