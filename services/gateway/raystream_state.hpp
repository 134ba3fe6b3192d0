// What is stored of a raystream session so that any gateway can go on with it, and how it is
// sealed: the keys are the gateways' alone, and the session's id, generation and version are bound
// into it, so that who can write to the store cannot give one session the state of another, or pass
// an old state off as a new one. Pure functions; any thread.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "libs/crypto/secret_arena.hpp"
#include "libs/crypto/secret_array.hpp"
#include "libs/raystream/state_keys.hpp"

namespace raymesh::gateway {

/// What a session stands for once it is attached.
struct RaystreamPrincipal {
  std::string key_hash;  // SHA-256 of the API key
  std::string project;
  std::string access_token;       // empty: no user
  uint64_t token_expires_at = 0;  // Unix milliseconds; 0: no user
};

struct StoredSubscription {
  uint32_t kind = 0;  // raystream.v1.StreamKind
  std::string name;
  auto operator<=>(const StoredSubscription&) const = default;
};

struct StoredSession {
  RaystreamPrincipal principal;
  uint64_t first_handshake_at = 0;  // Unix milliseconds
  uint64_t expires_at = 0;          // Unix milliseconds
  std::vector<StoredSubscription> subscriptions;
};

/// What resumes a session: its secret, and, until the client has shown that it knows that one, the
/// secret that it resumed with.
struct ResumptionSecrets {
  crypto::Secret32 current;
  crypto::Secret32 previous;
  bool has_previous = false;
};

/// Which state it is.
struct StateName {
  std::string_view session_id;
  uint64_t generation = 0;
  uint64_t version = 0;
};

/// `previous` is empty when there is none.
std::string seal_state(const raystream::StateKeys& keys, const StateName& name,
                       std::string_view current, std::string_view previous,
                       const StoredSession& session);

struct OpenedState {
  StoredSession session;
  crypto::Locked<ResumptionSecrets> secrets;
};
/// nullopt: it is not that state, or not ours.
std::optional<OpenedState> open_state(const raystream::StateKeys& keys, const StateName& name,
                                      std::string_view sealed);

}  // namespace raymesh::gateway
