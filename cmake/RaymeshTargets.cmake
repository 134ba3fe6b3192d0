# raymesh_library(<name> SOURCES ... DEPS ...)    a static library raymesh_<name>, alias raymesh::<name>
# raymesh_program(<name> SOURCES ... DEPS ...)    an executable in build/<preset>/bin
# raymesh_test(<name> LABEL unit|db|e2e|chaos [COST <s>] SOURCES ... DEPS ...)   a GoogleTest program, one CTest entry.
#   COST, the seconds that a long one takes: CTest starts the longest first, also where no run has been.
#
# Includes are written from the root of the repository: #include "libs/base/status.hpp".
# Generated protocol headers: #include "raymesh/storage/v1/storage.pb.h".

function(raymesh_target_defaults target)
  target_include_directories(${target} PUBLIC $<BUILD_INTERFACE:${CMAKE_SOURCE_DIR}>)
  target_compile_options(${target} PRIVATE -Wall -Wextra -Wpedantic -Wshadow
    $<$<NOT:$<BOOL:${RAYMESH_FUZZ}>>:-Werror>)
endfunction()

function(raymesh_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  add_library(raymesh_${name} STATIC ${ARG_SOURCES})
  add_library(raymesh::${name} ALIAS raymesh_${name})
  raymesh_target_defaults(raymesh_${name})
  target_link_libraries(raymesh_${name} PUBLIC ${ARG_DEPS})
endfunction()

function(raymesh_program name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  raymesh_target_defaults(${name})
  target_link_libraries(${name} PRIVATE ${ARG_DEPS})
endfunction()

function(raymesh_test name)
  cmake_parse_arguments(ARG "" "LABEL;TIMEOUT;COST" "SOURCES;DEPS" ${ARGN})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 120)
  endif()
  if(NOT ARG_COST)
    set(ARG_COST 0)
  endif()
  add_executable(${name} ${ARG_SOURCES})
  raymesh_target_defaults(${name})
  target_link_libraries(${name} PRIVATE ${ARG_DEPS} GTest::gtest GTest::gmock GTest::gtest_main)
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES LABELS "${ARG_LABEL}" TIMEOUT ${ARG_TIMEOUT} COST ${ARG_COST})
endfunction()
