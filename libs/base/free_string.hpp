// Giving back the memory of a string. Any thread, with its own string.
#pragma once

#include <string>

namespace raymesh {

/// Empties the string and frees what it held. (`text = {}` and `text = std::string()` empty it
/// only: libstdc++ keeps the memory for what is assigned next.)
inline void free_string(std::string& text) {
  std::string().swap(text);
}

}  // namespace raymesh
