// The commands of `raymesh`. Each parses what is left of the arguments after its own name and
// returns the process's exit code. One thread.
#pragma once

#include "apps/raymesh/command_line.hpp"
#include "libs/config/options.hpp"

namespace raymesh::cli {

int project_command(Invocation& invocation);
int key_command(Invocation& invocation);
int migrate_command(Invocation& invocation);
int token_command(Invocation& invocation);
int realtime_command(Invocation& invocation);
int raystream_command(Invocation& invocation);
int certs_command(Invocation& invocation);

/// `raymesh dev` (dev.cpp): runs until SIGINT or SIGTERM. `input.arguments` begins after "dev".
int dev_command(const config::Options::Input& input);

}  // namespace raymesh::cli
