// The Echo service as a program: prints its address, stops cleanly on SIGTERM. Ends with its
// parent.
#include <signal.h>
#include <sys/prctl.h>

#include <cstdio>

#include "tests/unit/rpc/echo_service.hpp"

int main(int argc, char** argv) {
  using namespace raymesh::rpc::test;
  if (argc != 2) return 2;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  sigset_t stop;
  sigemptyset(&stop);
  sigaddset(&stop, SIGTERM);
  sigprocmask(SIG_BLOCK, &stop, nullptr);
  auto config = EchoServer::config();
  config.address = argv[1];
  EchoServer server(config);
  std::printf("%s\n", server.address().c_str());
  std::fflush(stdout);
  int number = 0;
  sigwait(&stop, &number);
  server.server->stop(std::chrono::seconds(5));
  server.held->answer_all("late");
  return 0;
}
