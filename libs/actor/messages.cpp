#include "libs/actor/messages.hpp"

#include <caf/exit_reason.hpp>
#include <caf/sec.hpp>

namespace raymesh::actor {

Error to_error(const caf::error& error) {
  if (error == caf::sec::request_timeout)
    return Error(errors::kDeadlineExceeded, "an actor did not answer in time");
  if (error == caf::sec::request_receiver_down || error.category() == caf::atom("exit"))
    return Error(errors::kUnavailable, "the actor that was asked has ended; it is being restarted");
  return Error(errors::kInternal, "an actor failed a request (CAF category " +
                                      caf::to_string(error.category()) + ", code " +
                                      std::to_string(error.code()) + ")");
}

}  // namespace raymesh::actor
