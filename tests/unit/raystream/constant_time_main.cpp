// What compares secrets must take the same way for all of them. Under valgrind the secrets are
// marked as never written, so that memcheck reports every branch and every address that depends on
// one:
//
//   valgrind --error-exitcode=1 raystream_constant_time          must find nothing
//   valgrind --error-exitcode=1 raystream_constant_time leaky    must find memcmp: the method works
#include <valgrind/memcheck.h>

#include <cstdio>
#include <cstring>

#include "libs/crypto/hash.hpp"
#include "tests/unit/raystream/pair.hpp"

namespace raymesh::raystream {
namespace {

void hide(std::string_view secret) {
  (void)VALGRIND_MAKE_MEM_UNDEFINED(secret.data(), secret.size());
}

/// The outcome itself is no secret.
bool outcome(bool result) {
  (void)VALGRIND_MAKE_MEM_DEFINED(&result, sizeof result);
  return result;
}

bool compare() {
  const std::string tag(32, 't');
  std::string same(32, 't');
  std::string other(32, 'o');
  hide(same);
  hide(other);
  return outcome(crypto::constant_time_equal(tag, same)) &&
         !outcome(crypto::constant_time_equal(tag, other));
}

bool check_binder() {
  Resumption resume{kTestSessionId, crypto::Secret(std::string(32, 's'))};
  OutgoingBuffer out;
  ClientHandshake client({});
  client.start(&resume, out);
  ServerHandshake server;
  if (server.read(take(out))) return false;
  std::string wrong(32, 'w');
  hide(resume.secret.view());
  hide(wrong);
  return outcome(server.binder_fits(resume.secret.view())) && !outcome(server.binder_fits(wrong));
}

bool leak() {
  std::string same(32, 't');
  hide(same);
  return std::memcmp(same.data(), std::string(32, 't').data(), 32) == 0;
}

}  // namespace
}  // namespace raymesh::raystream

int main(int argc, char** argv) {
  using namespace raymesh::raystream;
  if (RUNNING_ON_VALGRIND == 0) {
    std::fputs("run this under valgrind\n", stderr);
    return 2;
  }
  if (argc > 1 && std::strcmp(argv[1], "leaky") == 0) return leak() ? 0 : 1;
  return compare() && check_binder() ? 0 : 1;
}
