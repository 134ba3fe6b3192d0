#include "libs/crypto/password.hpp"

#include <sodium.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <optional>

namespace raymesh::crypto {
namespace {

struct Phc {
  uint32_t memory_kib = 0;
  uint32_t passes = 0;
  uint32_t lanes = 0;
};

// Reads a string from the front piece by piece; every step fails for good once one has failed.
class Reader {
 public:
  explicit Reader(std::string_view text) : rest_(text) {}

  Reader& literal(std::string_view expected) {
    if (ok_ && rest_.starts_with(expected))
      rest_.remove_prefix(expected.size());
    else
      ok_ = false;
    return *this;
  }
  // Decimal without sign or leading zeros, 1..max.
  Reader& number(uint32_t& out, uint32_t max) {
    if (!ok_) return *this;
    auto [end, ec] = std::from_chars(rest_.data(), rest_.data() + rest_.size(), out);
    ok_ = ec == std::errc() && rest_.front() != '0' && out <= max;
    if (ok_) rest_.remove_prefix(static_cast<size_t>(end - rest_.data()));
    return *this;
  }
  // Base64 characters without padding, between the lengths.
  Reader& base64(size_t min, size_t max) {
    if (!ok_) return *this;
    size_t size =
        rest_.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/");
    if (size == std::string_view::npos) size = rest_.size();
    ok_ = size >= min && size <= max;
    if (ok_) rest_.remove_prefix(size);
    return *this;
  }
  bool done() const { return ok_ && rest_.empty(); }

 private:
  std::string_view rest_;
  bool ok_ = true;
};

// The lengths are those of 8 to 48 bytes of salt and 16 to 64 bytes of hash.
std::optional<Phc> parse_phc(std::string_view text) {
  Phc phc;
  Reader reader(text);
  reader.literal("$argon2id$v=19$m=")
      .number(phc.memory_kib, kMaxArgon2MemoryKib)
      .literal(",t=")
      .number(phc.passes, kMaxArgon2Passes)
      .literal(",p=")
      .number(phc.lanes, kMaxArgon2Lanes)
      .literal("$")
      .base64(11, 64)
      .literal("$")
      .base64(22, 86);
  if (!reader.done()) return std::nullopt;
  return phc;
}

}  // namespace

Result<std::string> hash_password(std::string_view password, const Argon2Parameters& parameters) {
  if (password.size() > kMaxPasswordBytes)
    return Error(errors::kWeakPassword, "the password is longer than 1024 bytes");
  std::array<char, crypto_pwhash_argon2id_STRBYTES> out{};
  if (sodium_init() < 0 ||
      crypto_pwhash_argon2id_str(out.data(), password.data(), password.size(), parameters.passes,
                                 size_t{parameters.memory_kib} * 1024) != 0)
    return Error(errors::kOverloaded, "no memory to hash a password");
  return std::string(out.data());
}

Result<bool> verify_password(std::string_view phc, std::string_view password) {
  if (!parse_phc(phc))
    return Error(errors::kInternal, "a stored password hash is not Argon2id within the bounds");
  if (password.size() > kMaxPasswordBytes) return false;
  if (sodium_init() < 0) return Error(errors::kOverloaded, "libsodium cannot start");
  const std::string terminated(phc);
  errno = 0;
  if (crypto_pwhash_argon2id_str_verify(terminated.c_str(), password.data(), password.size()) == 0)
    return true;
  // libsodium says EINVAL for "another password" and nothing or ENOMEM for "could not compute".
  if (errno == EINVAL) return false;
  return Error(errors::kOverloaded, "a password hash could not be computed");
}

bool needs_rehash(std::string_view phc, const Argon2Parameters& parameters) {
  auto parsed = parse_phc(phc);
  return !parsed || parsed->memory_kib != parameters.memory_kib ||
         parsed->passes != parameters.passes || parsed->lanes != 1;
}

}  // namespace raymesh::crypto
