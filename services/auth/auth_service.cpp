#include "services/auth/auth_service.hpp"

#include <utility>

#include "services/auth/accounts.hpp"
#include "services/auth/capabilities.hpp"

namespace raymesh::auth {
namespace {

using rpc::CallPtr;
using rpc::Responder;

// Takes the password out of the message and wipes what is left there.
crypto::Secret take_secret(std::string& text) {
  crypto::Secret secret(text);
  crypto::wipe(text);
  return secret;
}

// Every method but ResolveKey acts in a project.
template <class Reply>
bool has_project(const CallPtr& call, Responder<Reply>& respond) {
  if (!call->project.empty()) return true;
  respond(Error(errors::kInvalidRequest, "the call names no project"));
  return false;
}

v1::ResolveKeyReply to_reply(const ResolvedKey& key) {
  v1::ResolveKeyReply reply;
  reply.set_project_id(key.project_id);
  reply.set_project_name(key.project_name);
  reply.set_key_id(key.key_id);
  reply.set_role(key.role);
  reply.set_development(key.development);
  for (const Capability& capability : kCapabilities)
    (*reply.mutable_capabilities())[std::string(capability.name)] =
        has_capability(capability, key.role);
  if (key.requests_per_second > 0) {
    reply.mutable_rate_limit()->set_per_second(key.requests_per_second);
    reply.mutable_rate_limit()->set_burst(key.burst);
  }
  return reply;
}

v1::VerifyTokenReply to_reply(const std::optional<VerifiedToken>& token) {
  v1::VerifyTokenReply reply;
  if (!token) return reply;
  reply.set_valid(true);
  reply.set_user_id(token->user.id);
  reply.set_email(token->user.email);
  reply.set_role(token->user.role);
  reply.set_claims_json(token->user.claims_json);
  reply.set_session(token->session);
  reply.set_expires_at(token->expires_at);
  return reply;
}

void resolve_key(Accounts& accounts, v1::ResolveKeyRequest request,
                 Responder<v1::ResolveKeyReply> respond) {
  accounts.resolve_key(std::move(*request.mutable_key_sha256()),
                       [respond = std::move(respond)](Result<ResolvedKey> key) mutable {
                         if (!key.ok()) return respond(std::move(key).error());
                         respond(to_reply(*key));
                       });
}

void signup(Accounts& accounts, const CallPtr& call, v1::SignupRequest request,
            Responder<v1::SignupReply> respond) {
  crypto::Secret password = take_secret(*request.mutable_password());
  if (!has_project(call, respond)) return;
  accounts.signup(
      {call->project, call->client_address, std::move(*request.mutable_email()),
       std::move(password), std::move(*request.mutable_name()), std::move(*request.mutable_role())},
      [respond = std::move(respond)](Result<SignupOutcome> outcome) mutable {
        if (!outcome.ok()) return respond(std::move(outcome).error());
        v1::SignupReply reply;
        reply.set_user_id(std::move(outcome->user_id));
        reply.set_verified(outcome->verified);
        respond(std::move(reply));
      });
}

void login(Accounts& accounts, const CallPtr& call, v1::LoginRequest request,
           Responder<v1::LoginReply> respond) {
  crypto::Secret password = take_secret(*request.mutable_password());
  if (!has_project(call, respond)) return;
  accounts.login({call->project, call->client_address, std::move(*request.mutable_email()),
                  std::move(password)},
                 [respond = std::move(respond)](Result<LoginOutcome> outcome) mutable {
                   if (!outcome.ok()) return respond(std::move(outcome).error());
                   v1::LoginReply reply;
                   reply.set_user_id(std::move(outcome->user_id));
                   reply.set_access_token(std::move(outcome->access_token));
                   reply.set_expires_in(static_cast<uint32_t>(outcome->expires_in.count()));
                   respond(std::move(reply));
                 });
}

void verify_token(Accounts& accounts, const CallPtr& call, const v1::VerifyTokenRequest& request,
                  Responder<v1::VerifyTokenReply> respond) {
  if (!has_project(call, respond)) return;
  accounts.verify(
      call->project, request.access_token(),
      [respond = std::move(respond)](Result<std::optional<VerifiedToken>> token) mutable {
        if (!token.ok()) return respond(std::move(token).error());
        respond(to_reply(*token));
      });
}

}  // namespace

rpc::MethodTable auth_methods(Accounts& accounts) {
  constexpr uint8_t kAnyClient = rpc::kCallerGateway | rpc::kCallerToken;
  rpc::MethodTable methods;
  methods.add<v1::ResolveKeyRequest, v1::ResolveKeyReply>(
      "ResolveKey", rpc::kCallerGateway,
      [&accounts](const CallPtr&, v1::ResolveKeyRequest request,
                  Responder<v1::ResolveKeyReply> respond) {
        resolve_key(accounts, std::move(request), std::move(respond));
      });
  methods.add<v1::SignupRequest, v1::SignupReply>(
      "Signup", kAnyClient,
      [&accounts](const CallPtr& call, v1::SignupRequest request,
                  Responder<v1::SignupReply> respond) {
        signup(accounts, call, std::move(request), std::move(respond));
      });
  methods.add<v1::LoginRequest, v1::LoginReply>(
      "Login", kAnyClient,
      [&accounts](const CallPtr& call, v1::LoginRequest request,
                  Responder<v1::LoginReply> respond) {
        login(accounts, call, std::move(request), std::move(respond));
      });
  methods.add<v1::VerifyTokenRequest, v1::VerifyTokenReply>(
      "VerifyToken", kAnyClient,
      [&accounts](const CallPtr& call, const v1::VerifyTokenRequest& request,
                  Responder<v1::VerifyTokenReply> respond) {
        verify_token(accounts, call, request, std::move(respond));
      });
  return methods;
}

}  // namespace raymesh::auth
