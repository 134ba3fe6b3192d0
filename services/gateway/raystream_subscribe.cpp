// SUBSCRIBE: passes the gates of a call, finds out on whose behalf it comes, and asks the session's
// subscriptions.
#include "raymesh/raystream/v1/raystream.pb.h"
#include "services/gateway/core.hpp"
#include "services/gateway/raystream_call.hpp"
#include "services/gateway/raystream_session.hpp"
#include "services/gateway/raystream_subscriptions.hpp"
#include "services/gateway/user_token.hpp"

namespace raymesh::gateway {
namespace {

namespace v1 = raymesh::raystream::v1;

void on_subscribed(Exchange& ex, Result<std::string> position) {
  if (!position.ok()) return ex.fail(position.error());
  v1::Subscribed subscribed;
  subscribed.set_position(*std::move(position));
  ex.reply(200, subscribed.SerializeAsString());
}

}  // namespace

void RaystreamCall::subscribe() {
  // Whose it is shows in presence.
  note = std::move(args_);
  release_memory();
  with_user(*this, [](Exchange& ex) { static_cast<RaystreamCall&>(ex).subscribe_as_user(); });
}

void RaystreamCall::subscribe_as_user() {
  v1::Subscribe wanted;
  if (!wanted.ParseFromString(std::exchange(note, {})))
    return fail(Error(errors::kInvalidRequest, "the payload is no Subscribe"));
  waiting_ = true;
  next_ = on_subscribed;
  auto done = [self = shared_from_this()](Result<std::string> position) {
    if (!self->session_) return;
    self->result_.emplace(std::move(position));
    self->session_->answered(self);
  };
  RaystreamSubscriptions& subscriptions = session_->subscriptions();
  if (!wanted.on()) return subscriptions.unsubscribe(wanted.kind(), wanted.name(), std::move(done));
  SubscriptionWish wish;
  wish.kind = wanted.kind();
  wish.name = std::move(*wanted.mutable_name());
  wish.from_position = std::move(*wanted.mutable_from_position());
  wish.presence = wanted.presence();
  wish.batches = wanted.batches();
  wish.user = context.user();
  wish.user_session = context.session();
  subscriptions.subscribe(std::move(wish), std::move(done));
}

}  // namespace raymesh::gateway
