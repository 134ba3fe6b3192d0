// libs/raystream behind a TCP socket, as a program that the interoperability test runs against
// another implementation: a server that echoes, or a client that calls one. Blocking, one
// connection at a time, one thread. Its lines on standard output are what the test reads.
//
//   raystream_peer server ID:SEED                      prints "port N"; serves until it is killed
//   raystream_peer client PORT ID:PUBLIC [NAME=VALUE]  keys in hexadecimal
//     cipher=NAME    offer only this one                 calls=N size=BYTES  echo calls, and how
//     large resume=1       drop the connection after the calls, resume, and call again
//     subscribe=NAME subscribe before the calls, and wait for events=N of each half
//   A connection that ends says so: "ended us|peer|drop CODE"; a client's steps: "ready",
//   "attached", "calls N", "events N", "resumed", "closed".
#include <cstdio>

#include "tests/interop/peer_client.hpp"
#include "tests/interop/peer_server.hpp"

int main(int argc, char** argv) {
  const std::vector<std::string> args(argv + 1, argv + argc);
  if (args.size() == 2 && args[0] == "server") raymesh::raystream::serve(args[1]);
  if (args.size() < 3 || args[0] != "client") {
    std::fprintf(stderr, "raystream_peer server ID:SEED | client PORT ID:PUBLIC [NAME=VALUE]\n");
    return 2;
  }
  return raymesh::raystream::call({args.begin() + 1, args.end()}) ? 0 : 1;
}
