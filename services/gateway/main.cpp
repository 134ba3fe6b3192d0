#include "services/gateway/app.hpp"

int main(int argc, char** argv) {
  return raymesh::host::run(argc, argv, raymesh::gateway::program());
}
