#include <iostream>

#include "apps/raymesh/command_line.hpp"

int main(int argc, char** argv) {
  return raymesh::cli::run({raymesh::config::process_input(argc, argv), std::cout, std::cerr});
}
