#include "services/gateway/user_token.hpp"

#include "libs/crypto/hash.hpp"
#include "raymesh/auth/v1/auth.pb.h"
#include "services/gateway/core.hpp"

namespace raymesh::gateway {
namespace {

void go_on(Exchange& ex, const VerifiedToken& token) {
  ex.context.set_user(token.user);
  ex.context.set_session(token.session);
  ex.then(ex);
}

// In front of `note` stands the token's hash.
void on_verified(Exchange& ex, Result<std::string> result) {
  const std::string hash = ex.note.substr(0, crypto::kSha256Bytes);
  ex.note.erase(0, crypto::kSha256Bytes);
  auth::v1::VerifyTokenReply reply;
  if (!ex.take(result, reply)) return;
  if (!reply.valid()) return ex.fail(Error(errors::kInvalidToken, "the access token is not valid"));
  VerifiedToken token{ex.key().project_id, reply.user_id(), reply.session()};
  ex.worker().tokens.put(hash, token, Exchange::Clock::now());
  go_on(ex, token);
}

}  // namespace

void with_user(Exchange& ex, void (*then)(Exchange&)) {
  const std::string_view token = ex.access_token();
  if (token.empty()) return then(ex);
  ex.then = then;
  const std::string hash = crypto::sha256(token);
  const VerifiedToken* known = ex.worker().tokens.find(hash, Exchange::Clock::now());
  if (known && known->project == ex.key().project_id) return go_on(ex, *known);
  ex.note.insert(0, hash);
  auth::v1::VerifyTokenRequest verify;
  verify.set_access_token(token.data(), token.size());
  ex.call(*ex.core().peers.auth, "VerifyToken", verify.SerializeAsString(),
          ex.options(rpc::Repeat::kSafe), on_verified);
}

}  // namespace raymesh::gateway
