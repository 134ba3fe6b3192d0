// libsodium chooses its fastest code for this processor, and opens the source of randomness, when
// it is started. Private to libs/crypto; any thread.
#pragma once

namespace raymesh::crypto {

/// Starts libsodium once; ends the process when it cannot start, since without a source of
/// randomness there is nothing safe to answer.
void require_sodium();

}  // namespace raymesh::crypto
