#include "services/realtime/app.hpp"

int main(int argc, char** argv) {
  return raymesh::host::run(argc, argv, raymesh::realtime::program());
}
