#include "services/realtime/realtime_service.hpp"

#include <algorithm>
#include <utility>

#include "libs/crypto/jwt.hpp"
#include "services/realtime/client_message.hpp"
#include "services/realtime/realtime_node.hpp"
#include "services/realtime/realtime_token.hpp"
#include "services/realtime/relay_stream.hpp"

namespace raymesh::realtime {
namespace {

constexpr uint32_t kMaxPage = 10'000;
constexpr size_t kMaxCursor = 256;

using rpc::CallPtr;
using rpc::Responder;

template <class Reply>
bool accepts(const CallPtr& call, std::string_view channel, const RealtimeTokens& tokens,
             Responder<Reply>& respond) {
  if (call->project.empty()) {
    respond(Error(errors::kInvalidRequest, "the call names no project"));
    return false;
  }
  auto status = check_channel_name(channel, tokens.limits().max_channel_bytes);
  if (!status.ok()) {
    respond(std::move(status).error());
    return false;
  }
  return true;
}

Result<v1::MintReply> mint(RealtimeNode& node, const RealtimeTokens& tokens, const std::string& url,
                           const rpc::Call& call, v1::MintRequest request) {
  if (call.project.empty()) return Error(errors::kInvalidRequest, "the call names no project");
  Grant grant;
  grant.project = call.project;
  grant.channels.assign(std::make_move_iterator(request.mutable_channels()->begin()),
                        std::make_move_iterator(request.mutable_channels()->end()));
  for (v1::ChannelGrant& wanted : *request.mutable_grants()) {
    ChannelGrant& g = grant.grants.emplace_back();
    g.channel = std::move(*wanted.mutable_channel());
    for (const std::string& name : wanted.allow()) {
      const auto permission = parse_permission(name);
      if (!permission)
        return Error(errors::kInvalidRequest,
                     "'" + name +
                         "' is no permission: there are subscribe, publish, presence and "
                         "history");
      g.allow |= *permission;
    }
  }
  grant.identity = std::move(*request.mutable_identity());
  grant.user = call.user;
  grant.session = call.session;
  v1::MintReply reply;
  RAYMESH_TRY(*reply.mutable_token(),
              tokens.mint(std::move(grant), request.ttl_seconds(), crypto::jwt::unix_now()));
  reply.set_url(url);
  node.probe().token_minted();
  return reply;
}

void publish(RealtimeNode& node, const RealtimeTokens& tokens, const CallPtr& call,
             const v1::PublishRequest& request, Responder<v1::PublishReply> respond) {
  if (!accepts(call, request.channel(), tokens, respond)) return;
  const std::string& payload = request.payload_json();
  if (payload.size() > node.limits().max_message_bytes) {
    respond(Error(errors::kBodyTooLarge,
                  "the payload has " + std::to_string(payload.size()) + " bytes; at most " +
                      std::to_string(node.limits().max_message_bytes) + " are allowed"));
    return;
  }
  // A payload that was left out is null, as on a socket.
  const auto value = ClientMessageParser::json_value(payload.empty() ? std::string_view("null")
                                                                     : std::string_view(payload));
  if (!value) {
    respond(Error(errors::kInvalidJson, "the payload is not one JSON value"));
    return;
  }
  node.publish(call->project, request.channel(), *value,
               [respond = std::move(respond)](Result<Published> published) mutable {
                 if (!published.ok()) return respond(std::move(published).error());
                 v1::PublishReply reply;
                 reply.set_delivered(published->delivered);
                 if (published->last) {
                   reply.set_epoch(epoch_text(published->last.epoch));
                   reply.set_offset(published->last.offset);
                 }
                 respond(std::move(reply));
               });
}

void presence(RealtimeNode& node, const RealtimeTokens& tokens, const CallPtr& call,
              const v1::PresenceRequest& request, Responder<v1::PresenceReply> respond) {
  if (!accepts(call, request.channel(), tokens, respond)) return;
  if (request.cursor().size() > kMaxCursor)
    return respond(Error(errors::kInvalidRequest, "the cursor is none of this API's"));
  const uint32_t limit = request.limit() == 0 ? kMaxPage : std::min(request.limit(), kMaxPage);
  node.presence(call->project, request.channel(), {limit, request.cursor()},
                [respond = std::move(respond)](Result<PresencePage> page) mutable {
                  if (!page.ok()) return respond(std::move(page).error());
                  v1::PresenceReply reply;
                  reply.set_json(std::move(page->members_json));
                  reply.set_count(page->count);
                  reply.set_identities(page->identities);
                  reply.set_next(std::move(page->next));
                  respond(std::move(reply));
                });
}

void history(RealtimeNode& node, const RealtimeTokens& tokens, const CallPtr& call,
             const v1::HistoryRequest& request, Responder<v1::HistoryReply> respond) {
  if (!accepts(call, request.channel(), tokens, respond)) return;
  const uint32_t limit = request.limit() == 0 ? 100 : std::min(request.limit(), kMaxPage);
  const Position since{parse_epoch(request.epoch()).value_or(0), request.offset()};
  node.history(call->project, request.channel(), since, limit,
               [respond = std::move(respond)](Result<HistoryPage> page) mutable {
                 if (!page.ok()) return respond(std::move(page).error());
                 v1::HistoryReply reply;
                 if (page->latest) reply.set_epoch(epoch_text(page->latest.epoch));
                 reply.set_offset(page->latest.offset);
                 for (StoredMessage& message : page->messages) {
                   auto& out = *reply.add_messages();
                   out.set_offset(message.offset);
                   out.set_payload_json(std::move(message.payload));
                 }
                 respond(std::move(reply));
               });
}

void revoke(RealtimeNode& node, const RealtimeTokens& tokens, const CallPtr& call,
            const v1::RevokeRequest& request, Responder<v1::RevokeReply> respond) {
  if (call->project.empty())
    return respond(Error(errors::kInvalidRequest, "the call names no project"));
  const int64_t now = crypto::jwt::unix_now();
  Revocation revocation;
  revocation.project = call->project;
  revocation.issued_by = now;
  revocation.keep_until = now + tokens.limits().max_ttl_seconds;
  switch (request.selector_case()) {
    case v1::RevokeRequest::kTokenId:
      revocation.by = Revocation::By::kTokenId;
      revocation.value = request.token_id();
      break;
    case v1::RevokeRequest::kIdentity:
      revocation.by = Revocation::By::kIdentity;
      revocation.value = request.identity();
      break;
    case v1::RevokeRequest::kUser:
      revocation.by = Revocation::By::kUser;
      revocation.value = request.user();
      break;
    case v1::RevokeRequest::kSession:
      revocation.by = Revocation::By::kSession;
      revocation.value = request.session();
      break;
    case v1::RevokeRequest::kChannel:
      revocation.by = Revocation::By::kChannel;
      revocation.value = request.channel();
      break;
    case v1::RevokeRequest::SELECTOR_NOT_SET:
      break;
  }
  if (revocation.value.empty() || revocation.value.size() > tokens.limits().max_identity_bytes)
    return respond(Error(errors::kInvalidRequest,
                         "name what to revoke: jti, identity, user, session or channel"));
  node.revoke(std::move(revocation),
              [respond = std::move(respond)](Result<RevokeReport> report) mutable {
                if (!report.ok()) return respond(std::move(report).error());
                v1::RevokeReply reply;
                reply.set_closed(report->closed);
                reply.set_nodes(report->nodes);
                reply.set_unreached(report->unreached);
                respond(std::move(reply));
              });
}

}  // namespace

rpc::MethodTable realtime_methods(RealtimeNode& node, const RealtimeTokens& tokens,
                                  std::string public_url, v1::NodeReply self) {
  constexpr uint8_t kCallers = rpc::kCallerGateway | rpc::kCallerToken;
  rpc::MethodTable table;
  table.add<v1::MintRequest, v1::MintReply>(
      "Mint", kCallers,
      [&node, &tokens, url = std::move(public_url)](const CallPtr& call, v1::MintRequest request,
                                                    Responder<v1::MintReply> respond) {
        respond(mint(node, tokens, url, *call, std::move(request)));
      });
  table.add<v1::PublishRequest, v1::PublishReply>(
      "Publish", kCallers,
      [&node, &tokens](const CallPtr& call, const v1::PublishRequest& request,
                       Responder<v1::PublishReply> respond) {
        publish(node, tokens, call, request, std::move(respond));
      });
  table.add<v1::PresenceRequest, v1::PresenceReply>(
      "Presence", kCallers,
      [&node, &tokens](const CallPtr& call, const v1::PresenceRequest& request,
                       Responder<v1::PresenceReply> respond) {
        presence(node, tokens, call, request, std::move(respond));
      });
  table.add<v1::HistoryRequest, v1::HistoryReply>(
      "History", kCallers,
      [&node, &tokens](const CallPtr& call, const v1::HistoryRequest& request,
                       Responder<v1::HistoryReply> respond) {
        history(node, tokens, call, request, std::move(respond));
      });
  table.add<v1::RevokeRequest, v1::RevokeReply>(
      "Revoke", kCallers,
      [&node, &tokens](const CallPtr& call, const v1::RevokeRequest& request,
                       Responder<v1::RevokeReply> respond) {
        revoke(node, tokens, call, request, std::move(respond));
      });
  table.add<v1::NodeRequest, v1::NodeReply>(
      "Node", rpc::kCallerGateway | rpc::kCallerService | rpc::kCallerCli,
      [self = std::move(self)](const CallPtr&, const v1::NodeRequest&,
                               Responder<v1::NodeReply> respond) { respond(v1::NodeReply(self)); });
  table.add_stream(relay_method(node));
  return table;
}

}  // namespace raymesh::realtime
