#include "libs/rpc/dispatcher.hpp"

#include <algorithm>

#include "libs/crypto/hash.hpp"
#include "libs/crypto/jwt.hpp"
#include "libs/rpc/calls_stream.hpp"
#include "libs/rpc/service_token.hpp"

namespace raymesh::rpc {
namespace {

Status check_caller(const Caller& caller, uint8_t callers, const std::string& method) {
  uint8_t bit = kCallerService;
  if (caller.kind == Caller::Kind::kGateway) bit = kCallerGateway;
  if (caller.kind == Caller::Kind::kToken) bit = kCallerToken;
  if (caller.kind == Caller::Kind::kService && caller.name == "cli") bit = kCallerCli;
  if (callers & bit) return ok_status();
  return Error(errors::kPermissionDenied, caller.name + " may not call " + method);
}

bool printable(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c > 0x20 && c < 0x7f; });
}

}  // namespace

Result<std::unique_ptr<Dispatcher>> Dispatcher::create(const ServerConfig& config,
                                                       MethodTable methods) {
  std::unique_ptr<Dispatcher> dispatcher(new Dispatcher(config, std::move(methods)));
  if (!config.credentials.service_token_keys.empty()) {
    RAYMESH_TRY(dispatcher->token_keys_,
                crypto::KeyRing::parse(config.credentials.service_token_keys));
  }
  return dispatcher;
}

Dispatcher::Dispatcher(const ServerConfig& config, MethodTable methods)
    : limits_(config.limits),
      tls_(!config.credentials.tls.empty()),
      cluster_key_(config.credentials.cluster_key),
      methods_(std::move(methods)),
      projects_(config.limits.max_calls_per_project),
      probe_(config.metrics, "server", config.name) {}

Status Dispatcher::admit(std::string_view project) {
  auto admitted = projects_.admit(project);
  if (admitted.ok()) probe_.in_flight_changed(1);
  return admitted;
}

void Dispatcher::release(std::string_view project) {
  projects_.release(project);
  probe_.in_flight_changed(-1);
}

Result<Caller> Dispatcher::identify_token(std::string_view bearer) const {
  if (!token_keys_)
    return Error(errors::kUnauthenticated, "this service takes no service tokens: it has no keys");
  RAYMESH_TRY(auto token, verify_service_token(*token_keys_, bearer, crypto::jwt::unix_now()));
  return Caller{Caller::Kind::kToken, std::move(token.id), std::move(token.project)};
}

Result<Caller> Dispatcher::identify(const Proof& proof) const {
  constexpr std::string_view kBearer = "Bearer ";
  if (proof.authorization.starts_with(kBearer))
    return identify_token(proof.authorization.substr(kBearer.size()));
  if (proof.in_process) return Caller{Caller::Kind::kGateway, "gateway", {}};

  if (tls_) {
    std::string_view role;
    for (std::string_view dns : proof.certificate) {
      if (!dns.ends_with(kIdentityDomain)) continue;
      if (!role.empty())
        return Error(errors::kUnauthenticated, "the certificate names more than one role");
      role = dns.substr(0, dns.size() - kIdentityDomain.size());
    }
    if (role.empty())
      return Error(errors::kUnauthenticated, "the certificate names no role (<role>.raymesh)");
    return Caller{
        role == "gateway" ? Caller::Kind::kGateway : Caller::Kind::kService, std::string(role), {}};
  }

  if (proof.cluster_key.empty() || cluster_key_.empty() ||
      !crypto::constant_time_equal(proof.cluster_key, cluster_key_))
    return Error(errors::kUnauthenticated,
                 "the caller showed no certificate, service token or right cluster key");
  return Caller{Caller::Kind::kGateway, "gateway", {}};
}

Result<const Method*> Dispatcher::authorize(std::string_view name, const Caller& caller) const {
  const Method* method = methods_.find(name);
  if (!method)
    return Error(errors::kUnknownMethod,
                 "no method " + std::string(name.substr(0, frames::kMaxText)));
  RAYMESH_CHECK_OK(check_caller(caller, method->callers, method->name));
  return method;
}

Result<const StreamMethod*> Dispatcher::authorize_stream(std::string_view name,
                                                         const Caller& caller) const {
  const StreamMethod* method = methods_.find_stream(name);
  if (method) RAYMESH_CHECK_OK(check_caller(caller, method->callers, method->name));
  return method;
}

Status Dispatcher::accept_context(Call& call, const Caller& caller,
                                  const frames::ContextBody& c) const {
  for (auto text : {c.project, c.user, c.session, c.traceparent, c.request_id, c.client_address}) {
    if (text.size() > frames::kMaxText)
      return Error(errors::kInvalidRequest, "a text of the call's context is longer than " +
                                                std::to_string(frames::kMaxText) + " bytes");
  }
  if (caller.kind != Caller::Kind::kGateway) {
    if (!c.user.empty() || !c.session.empty() || !c.client_address.empty() ||
        (caller.kind == Caller::Kind::kService && !c.project.empty()))
      return Error(errors::kUntrustedContext,
                   "only the gateway may say on whose behalf a call is made, not " + caller.name);
    if (!c.project.empty() && c.project != caller.project)
      return Error(errors::kWrongProject,
                   "the service token is for another project than " + std::string(c.project));
  }
  call.caller = caller;
  call.project = caller.kind == Caller::Kind::kToken ? caller.project : std::string(c.project);
  call.user = c.user;
  call.session = c.session;
  call.client_address = c.client_address;
  if (printable(c.request_id)) call.request_id = c.request_id;
  auto parent = TraceContext::parse(c.traceparent);
  call.trace = parent ? parent->child() : TraceContext::start();
  return ok_status();
}

Status Dispatcher::open_stream(const std::shared_ptr<CallsStream>& stream) {
  std::lock_guard lock(mutex_);
  if (draining_)
    return Error(errors::kUnavailable, "the service is stopping", std::chrono::milliseconds(1000));
  if (streams_.size() >= limits_.max_streams)
    return Error(errors::kOverloaded,
                 "the service has " + std::to_string(limits_.max_streams) +
                     " streams, the most that it takes",
                 std::chrono::milliseconds(1000));
  streams_.emplace(stream.get(), stream);
  probe_.stream_up();
  return ok_status();
}

void Dispatcher::close_stream(CallsStream* stream) {
  {
    std::lock_guard lock(mutex_);
    streams_.erase(stream);
    probe_.stream_down();
  }
  stream_closed_.notify_all();
}

void Dispatcher::drain(std::chrono::milliseconds grace) {
  std::vector<std::shared_ptr<CallsStream>> all;
  {
    std::lock_guard lock(mutex_);
    draining_ = true;
    for (auto& [raw, weak] : streams_)
      if (auto stream = weak.lock()) all.push_back(std::move(stream));
  }
  for (auto& stream : all) stream->drain();
  all.clear();
  std::unique_lock lock(mutex_);
  stream_closed_.wait_for(lock, grace, [this] { return streams_.empty(); });
}

}  // namespace raymesh::rpc
