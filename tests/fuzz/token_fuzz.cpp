// Whatever a client sends as a token: none but the one that was signed may pass, and a payload of
// any bytes, rightly signed, must be refused or read, never more.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "libs/crypto/jwt.hpp"
#include "libs/crypto/password.hpp"

namespace {

using raymesh::crypto::KeyRing;
namespace jwt = raymesh::crypto::jwt;

const KeyRing& keys() {
  static const KeyRing ring =
      KeyRing::parse(std::vector<std::string>{"k1:0123456789abcdef0123456789abcdef",
                                              "k2:fedcba9876543210fedcba9876543210"})
          .value();
  return ring;
}

constexpr int64_t kNow = 1'800'000'000;
constexpr std::string_view kClaims = R"({"sub":"u","aud":"p","jti":"j","exp":1800000060})";

void must(bool holds) {
  if (!holds) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string input(reinterpret_cast<const char*>(data), size);
  jwt::Checks checks;
  checks.now = kNow;
  checks.audience = "p";
  static const std::string genuine = jwt::sign(keys(), kClaims);

  // As a token.
  must(!jwt::verify(keys(), input, checks).ok() || input == genuine);

  // As a change of a good one: the first byte says where, the others replace what is there.
  if (size > 1) {
    std::string changed = genuine;
    changed.replace(data[0] % genuine.size(), size - 1, input.substr(1));
    must(jwt::verify(keys(), changed, checks).ok() == (changed == genuine));
  }

  // As claims that we signed.
  const auto token = jwt::verify(keys(), jwt::sign(keys(), input), checks);
  if (token.ok()) {
    must(token->payload == input);
    must(token->expires_at > kNow && token->issued_at <= kNow);
  }

  // As a stored hash; only malformed ones, since the others cost milliseconds each.
  if (!input.starts_with("$argon2id$")) must(!raymesh::crypto::verify_password(input, "x").ok());
  (void)raymesh::crypto::needs_rehash(input);
  return 0;
}
