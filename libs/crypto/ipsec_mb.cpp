#include "libs/crypto/ipsec_mb.hpp"

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#ifdef RAYMESH_IPSEC_MB
#include <intel-ipsec-mb.h>
#include <sodium.h>
#endif

namespace raymesh::crypto::ipsec_mb {

#ifdef RAYMESH_IPSEC_MB

namespace {

static_assert(sizeof(gcm_key_data) <= sizeof(ExpandedKeyRoom));
static_assert(alignof(gcm_key_data) <= alignof(ExpandedKeyRoom));

constexpr uint64_t kNeeded = IMB_FEATURE_AESNI | IMB_FEATURE_PCLMULQDQ | IMB_FEATURE_SELF_TEST_PASS;

// The table of the functions that fit this processor. Never freed: it may be needed as long as
// anything static lives. nullptr: there are none.
const IMB_MGR* functions() {
  static const IMB_MGR* const kFunctions = []() -> const IMB_MGR* {
    IMB_MGR* all = alloc_mb_mgr(0);
    if (all == nullptr) return nullptr;
    IMB_ARCH found = IMB_ARCH_NONE;
    init_mb_mgr_auto(all, &found);
    if (found >= IMB_ARCH_SSE && (all->features & kNeeded) == kNeeded) return all;
    free_mb_mgr(all);
    return nullptr;
  }();
  return kFunctions;
}

const gcm_key_data* gcm_key(const ExpandedKeyRoom& room) {
  return reinterpret_cast<const gcm_key_data*>(room.bytes.data());
}

// What a text leaves behind: blocks of key stream and the state of its hash.
template <class Context>
class Wiped {
 public:
  Wiped() = default;
  Wiped(const Wiped&) = delete;
  Wiped& operator=(const Wiped&) = delete;
  ~Wiped() { sodium_memzero(&value_, sizeof value_); }
  Context* get() { return &value_; }

 private:
  Context value_;
};

// Takes the same time wherever they differ.
bool same(const unsigned char* made, std::span<const char, kAeadTagBytes> tag) {
  uint64_t a[2];
  uint64_t b[2];
  static_assert(sizeof a == kAeadTagBytes);
  std::memcpy(a, made, sizeof a);
  std::memcpy(b, tag.data(), sizeof b);
  return ((a[0] ^ b[0]) | (a[1] ^ b[1])) == 0;
}

enum class Way : uint8_t { kSeal, kOpen };

void chacha(Way way, const Secret32& key, AeadNonce nonce, std::string_view aad,
            std::span<char> text, void* tag) {
  const IMB_MGR* all = functions();
  Wiped<chacha20_poly1305_context_data> context;
  const char* k = reinterpret_cast<const char*>(key.data());
  IMB_CHACHA20_POLY1305_INIT(all, k, context.get(), nonce.data(), aad.data(), aad.size());
  if (way == Way::kSeal) {
    IMB_CHACHA20_POLY1305_ENC_UPDATE(all, k, context.get(), text.data(), text.data(), text.size());
    IMB_CHACHA20_POLY1305_ENC_FINALIZE(all, context.get(), tag, kAeadTagBytes);
  } else {
    IMB_CHACHA20_POLY1305_DEC_UPDATE(all, k, context.get(), text.data(), text.data(), text.size());
    IMB_CHACHA20_POLY1305_DEC_FINALIZE(all, context.get(), tag, kAeadTagBytes);
  }
}

}  // namespace

bool is_available() {
  return functions() != nullptr;
}

void expand(const Secret32& key, ExpandedKeyRoom& room) {
  IMB_AES256_GCM_PRE(functions(), key.data(), reinterpret_cast<gcm_key_data*>(room.bytes.data()));
}

void aes_seal(const ExpandedKeyRoom& key, AeadNonce nonce, std::string_view aad,
              std::span<char> text, std::span<char, kAeadTagBytes> tag) {
  auto* data = reinterpret_cast<uint8_t*>(text.data());
  Wiped<gcm_context_data> context;
  IMB_AES256_GCM_ENC(functions(), gcm_key(key), context.get(), data, data, text.size(),
                     reinterpret_cast<const uint8_t*>(nonce.data()),
                     reinterpret_cast<const uint8_t*>(aad.data()), aad.size(),
                     reinterpret_cast<uint8_t*>(tag.data()), kAeadTagBytes);
}

bool aes_open(const ExpandedKeyRoom& key, AeadNonce nonce, std::string_view aad,
              std::span<char> text, std::span<const char, kAeadTagBytes> tag) {
  auto* data = reinterpret_cast<uint8_t*>(text.data());
  Wiped<gcm_context_data> context;
  uint8_t made[kAeadTagBytes];
  IMB_AES256_GCM_DEC(functions(), gcm_key(key), context.get(), data, data, text.size(),
                     reinterpret_cast<const uint8_t*>(nonce.data()),
                     reinterpret_cast<const uint8_t*>(aad.data()), aad.size(), made, kAeadTagBytes);
  return same(made, tag);
}

void chacha_seal(const Secret32& key, AeadNonce nonce, std::string_view aad, std::span<char> text,
                 std::span<char, kAeadTagBytes> tag) {
  chacha(Way::kSeal, key, nonce, aad, text, tag.data());
}

bool chacha_open(const Secret32& key, AeadNonce nonce, std::string_view aad, std::span<char> text,
                 std::span<const char, kAeadTagBytes> tag) {
  uint8_t made[kAeadTagBytes];
  chacha(Way::kOpen, key, nonce, aad, text, made);
  return same(made, tag);
}

#else

namespace {

[[noreturn]] void absent() {
  std::fputs("raymesh: intel-ipsec-mb is not part of this build\n", stderr);
  std::abort();
}

}  // namespace

bool is_available() {
  return false;
}
void expand(const Secret32&, ExpandedKeyRoom&) {
  absent();
}
void aes_seal(const ExpandedKeyRoom&, AeadNonce, std::string_view, std::span<char>,
              std::span<char, kAeadTagBytes>) {
  absent();
}
bool aes_open(const ExpandedKeyRoom&, AeadNonce, std::string_view, std::span<char>,
              std::span<const char, kAeadTagBytes>) {
  absent();
}
void chacha_seal(const Secret32&, AeadNonce, std::string_view, std::span<char>,
                 std::span<char, kAeadTagBytes>) {
  absent();
}
bool chacha_open(const Secret32&, AeadNonce, std::string_view, std::span<char>,
                 std::span<const char, kAeadTagBytes>) {
  absent();
}

#endif

}  // namespace raymesh::crypto::ipsec_mb
