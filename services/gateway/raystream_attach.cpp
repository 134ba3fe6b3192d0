// auth.attach: a stranger's session becomes that of a project, and of a user when it brings an
// access token. The same cache of keys, limits and questions to auth as for a request over HTTP.
#include "libs/base/free_string.hpp"
#include "libs/crypto/hash.hpp"
#include "raymesh/auth/v1/auth.pb.h"
#include "raymesh/raystream/v1/raystream.pb.h"
#include "services/gateway/core.hpp"
#include "services/gateway/raystream_call.hpp"
#include "services/gateway/raystream_session.hpp"
#include "services/gateway/request_body.hpp"

namespace raymesh::gateway {
namespace {

constexpr size_t kMaxToken = 8 << 10;

// {"apiKey":..., "accessToken"?:...}
Status read_json(std::string_view args, std::string& key, std::string& token) {
  Member members[] = {{"apiKey"}, {"accessToken"}};
  RAYMESH_CHECK_OK(read_members(args, members));
  key = text_of(members[0]).value_or("");
  if (members[1].is_missing_or_null()) return ok_status();
  auto text = text_of(members[1]);
  if (!text) return Error(errors::kInvalidRequest, "accessToken must be a string");
  token = std::move(*text);
  return ok_status();
}

}  // namespace

void RaystreamCall::begin_attach() {
  if (!session_->begin_attach())
    return fail(Error(errors::kInvalidRequest, "the session is attached already, or about to be"));
  attaching_ = true;
  std::string key;
  if (json_) {
    if (Status read = read_json(args_, key, attach_token_); !read.ok()) return fail(read.error());
  } else {
    raymesh::raystream::v1::Attach attach;
    if (!attach.ParseFromString(args_))
      return fail(Error(errors::kInvalidRequest, "the arguments are no Attach message"));
    key = std::move(*attach.mutable_api_key());
    attach_token_ = std::move(*attach.mutable_access_token());
  }
  free_string(args_);
  if (key.empty()) return fail(Error(errors::kMissingApiKey, "the API key is missing"));
  if (!key.starts_with("dc_"))
    return fail(Error(errors::kInvalidApiKey, "The API key is unknown or revoked"));
  if (attach_token_.size() > kMaxToken)
    return fail(Error(errors::kInvalidToken, "the access token is not valid"));
  attach_hash_ = crypto::sha256(key);
}

void RaystreamCall::attach() {
  if (key_->development && !session_->is_local())
    return fail(Error(errors::kForbiddenOrigin,
                      "the development key works only with a loopback Host and Origin"));
  identify();
  context.set_project(key_->project_id);
  context.set_traceparent(trace_.to_string());
  context.set_request_id(request_id_);
  context.set_client_address(client_);
  if (attach_token_.empty()) return finish_attach(0);
  auth::v1::VerifyTokenRequest verify;
  verify.set_access_token(attach_token_);
  call(*core().peers.auth, "VerifyToken", verify.SerializeAsString(), options(rpc::Repeat::kSafe),
       on_token_verified);
}

void RaystreamCall::on_token_verified(Exchange& ex, Result<std::string> result) {
  auto& call = static_cast<RaystreamCall&>(ex);
  auth::v1::VerifyTokenReply reply;
  if (!call.take(result, reply)) return;
  if (!reply.valid())
    return call.fail(Error(errors::kInvalidToken, "the access token is not valid"));
  call.finish_attach(static_cast<uint64_t>(reply.expires_at()) * 1'000);
}

void RaystreamCall::finish_attach(uint64_t token_expires_at) {
  const uint64_t expires_at = session_->prepare_attach(
      {attach_hash_, key_->project_id, std::move(attach_token_), token_expires_at});
  waiting_ = true;
  session_->store_attached([self = shared_from_this(), expires_at] {
    self->waiting_ = false;
    if (self->session_) self->answer_attach(expires_at);
  });
}

void RaystreamCall::answer_attach(uint64_t expires_at) {
  RaystreamSession& session = *session_;
  if (json_) {
    reply(200, "{\"expiresAt\":" + std::to_string(expires_at) + '}');
  } else {
    raymesh::raystream::v1::Attached attached;
    attached.set_expires_at(expires_at);
    std::string bytes = attached.SerializeAsString();
    reply(200, bytes);
  }
  session.attached();
}

}  // namespace raymesh::gateway
