#include "services/realtime/realtime_service.hpp"

#include <utility>

#include "libs/crypto/jwt.hpp"
#include "services/realtime/client_message.hpp"
#include "services/realtime/realtime_node.hpp"
#include "services/realtime/realtime_token.hpp"

namespace raymesh::realtime {
namespace {

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
  if (!payload.empty() && !ClientMessageParser::is_json(payload)) {
    respond(Error(errors::kInvalidJson, "the payload is not one JSON value"));
    return;
  }
  node.publish(call->project, request.channel(), payload.empty() ? "null" : payload,
               [respond = std::move(respond)](Result<uint64_t> delivered) mutable {
                 if (!delivered.ok()) return respond(std::move(delivered).error());
                 v1::PublishReply reply;
                 reply.set_delivered(*delivered);
                 respond(std::move(reply));
               });
}

void presence(RealtimeNode& node, const RealtimeTokens& tokens, const CallPtr& call,
              const v1::PresenceRequest& request, Responder<v1::PresenceReply> respond) {
  if (!accepts(call, request.channel(), tokens, respond)) return;
  node.presence(call->project, request.channel(),
                [respond = std::move(respond)](Result<std::string> json) mutable {
                  if (!json.ok()) return respond(std::move(json).error());
                  v1::PresenceReply reply;
                  reply.set_json(*std::move(json));
                  respond(std::move(reply));
                });
}

}  // namespace

rpc::MethodTable realtime_methods(RealtimeNode& node, const RealtimeTokens& tokens,
                                  std::string public_url) {
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
  return table;
}

}  // namespace raymesh::realtime
