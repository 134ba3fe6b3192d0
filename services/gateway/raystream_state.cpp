#include "services/gateway/raystream_state.hpp"

#include "raymesh/gateway/v1/session_state.pb.h"

namespace raymesh::gateway {
namespace {

// Form, whether there is a previous secret, both secrets, then the message.
constexpr char kForm = 1;
constexpr size_t kSecretBytes = crypto::Secret32::size();
constexpr size_t kHeadBytes = 2 + 2 * kSecretBytes;

std::string name_as_aad(const StateName& name) {
  std::string aad = "raymesh raystream state ";
  aad += name.session_id;
  for (const uint64_t number : {name.generation, name.version})
    for (int shift = 56; shift >= 0; shift -= 8) aad += static_cast<char>(number >> shift & 0xff);
  return aad;
}

}  // namespace

std::string seal_state(const raystream::StateKeys& keys, const StateName& name,
                       std::string_view current, std::string_view previous,
                       const StoredSession& session) {
  v1::SessionState message;
  message.set_key_sha256(session.principal.key_hash);
  message.set_project(session.principal.project);
  message.set_access_token(session.principal.access_token);
  message.set_token_expires_at(session.principal.token_expires_at);
  message.set_first_handshake_at(session.first_handshake_at);
  message.set_expires_at(session.expires_at);
  for (const StoredSubscription& one : session.subscriptions) {
    auto& added = *message.add_subscriptions();
    added.set_kind(one.kind);
    added.set_name(one.name);
  }
  std::string text;
  crypto::WipeOnExit wiped(text);
  // At once: a string that grows leaves what it held behind.
  text.reserve(kHeadBytes + message.ByteSizeLong());
  text += kForm;
  text += static_cast<char>(previous.empty() ? 0 : 1);
  text += current;
  text += previous;
  text.resize(kHeadBytes);
  message.AppendToString(&text);
  return keys.seal(name_as_aad(name), text);
}

std::optional<OpenedState> open_state(const raystream::StateKeys& keys, const StateName& name,
                                      std::string_view sealed) {
  const auto opened = keys.open(name_as_aad(name), sealed);
  if (!opened) return std::nullopt;
  const std::string_view text = opened->view();
  v1::SessionState message;
  if (text.size() < kHeadBytes || text[0] != kForm ||
      !message.ParseFromArray(text.data() + kHeadBytes, static_cast<int>(text.size() - kHeadBytes)))
    return std::nullopt;
  OpenedState state;
  state.secrets = crypto::Locked<ResumptionSecrets>::make();
  state.secrets->current.assign(text.substr(2, kSecretBytes));
  state.secrets->previous.assign(text.substr(2 + kSecretBytes, kSecretBytes));
  state.secrets->has_previous = text[1] == 1;
  StoredSession& session = state.session;
  session.principal.key_hash = std::move(*message.mutable_key_sha256());
  session.principal.project = std::move(*message.mutable_project());
  session.principal.access_token = std::move(*message.mutable_access_token());
  session.principal.token_expires_at = message.token_expires_at();
  session.first_handshake_at = message.first_handshake_at();
  session.expires_at = message.expires_at();
  for (auto& one : *message.mutable_subscriptions())
    session.subscriptions.push_back({one.kind(), std::move(*one.mutable_name())});
  return state;
}

}  // namespace raymesh::gateway
