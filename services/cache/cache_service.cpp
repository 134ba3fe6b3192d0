#include "services/cache/cache_service.hpp"

#include "services/cache/entries.hpp"
#include "services/cache/leases.hpp"
#include "services/cache/sessions.hpp"

namespace raymesh::cache {
namespace {

using rpc::CallPtr;
using rpc::Responder;

constexpr uint8_t kProjectCallers = rpc::kCallerGateway | rpc::kCallerToken;

template <class Request>
Entries::Target target(const CallPtr& call, const Request& request) {
  return {call->project, request.key(), call->deadline};
}

v1::ValueReply value_reply(std::optional<std::string> json) {
  v1::ValueReply reply;
  reply.set_found(json.has_value());
  if (json) reply.set_json(*std::move(json));
  return reply;
}

v1::BoolReply bool_reply(bool value) {
  v1::BoolReply reply;
  reply.set_value(value);
  return reply;
}

v1::CountReply count_reply(uint64_t count) {
  v1::CountReply reply;
  reply.set_count(count);
  return reply;
}

v1::MembersReply members_reply(std::optional<std::vector<std::string>> members) {
  v1::MembersReply reply;
  reply.set_found(members.has_value());
  if (!members) return reply;
  for (std::string& member : *members) reply.add_members(std::move(member));
  return reply;
}

v1::SetReply set_reply(bool set) {
  v1::SetReply reply;
  reply.set_set(set);
  return reply;
}

v1::LeaseTokensReply lease_reply(Lease lease) {
  v1::LeaseTokensReply reply;
  reply.set_granted(lease.granted);
  reply.set_retry_after_ms(static_cast<uint32_t>(
      std::min<int64_t>(lease.retry_after.count(), std::numeric_limits<uint32_t>::max())));
  reply.set_lease_ms(static_cast<uint32_t>(lease.life.count()));
  return reply;
}

v1::SessionReply session_reply(SessionRecord record) {
  v1::SessionReply reply;
  reply.set_found(record.found);
  reply.set_generation(record.generation);
  reply.set_version(record.version);
  reply.set_owner(std::move(record.owner));
  reply.set_state(std::move(record.state));
  reply.set_confirmed(record.confirmed);
  return reply;
}

v1::PutSessionReply written_reply(SessionWritten written) {
  v1::PutSessionReply reply;
  reply.set_stored(written.stored);
  reply.set_generation(written.generation);
  return reply;
}

v1::LostSessionsReply lost_reply(LostSessions lost) {
  v1::LostSessionsReply reply;
  for (LostSessions::Lost& one : lost.lost) {
    auto& added = *reply.add_lost();
    added.set_session_id(std::move(one.session_id));
    added.set_generation(one.generation);
  }
  for (std::string& after : lost.after) reply.add_after(std::move(after));
  reply.set_more(lost.more);
  reply.set_complete(lost.complete);
  return reply;
}

// A completion of Entries, Leases or Sessions that answers the call.
template <class Value, class Reply>
UniqueFunction<void(Result<Value>)> answer(Responder<Reply> respond, Reply (*make)(Value)) {
  return [respond = std::move(respond), make](Result<Value> result) mutable {
    if (!result.ok()) return respond(std::move(result).error());
    respond(make(*std::move(result)));
  };
}

void add_session_methods(rpc::MethodTable& table, Sessions& sessions) {
  table.add<v1::SessionRequest, v1::SessionReply>(
      "GetSession", rpc::kCallerGateway,
      [&sessions](CallPtr call, v1::SessionRequest request, Responder<v1::SessionReply> respond) {
        sessions.get(request.session_id(), call->deadline,
                     answer(std::move(respond), session_reply));
      });
  table.add<v1::PutSessionRequest, v1::PutSessionReply>(
      "PutSession", rpc::kCallerGateway,
      [&sessions](CallPtr call, v1::PutSessionRequest request,
                  Responder<v1::PutSessionReply> respond) {
        sessions.put({std::move(*request.mutable_session_id()), request.generation(),
                      request.version(), request.raise(), std::move(*request.mutable_owner()),
                      std::move(*request.mutable_lost_by()), std::move(*request.mutable_state()),
                      request.ttl_ms(), request.by_previous()},
                     call->deadline, answer(std::move(respond), written_reply));
      });
  table.add<v1::ConfirmSessionsRequest, v1::CountReply>(
      "ConfirmSessions", rpc::kCallerGateway,
      [&sessions](CallPtr call, v1::ConfirmSessionsRequest request,
                  Responder<v1::CountReply> respond) {
        SessionsConfirmed confirmed{std::move(*request.mutable_owner()), {}};
        for (auto& one : *request.mutable_sessions())
          confirmed.sessions.push_back({std::move(*one.mutable_session_id()), one.generation()});
        sessions.confirm(confirmed, call->deadline, answer(std::move(respond), count_reply));
      });
  table.add<v1::EndSessionRequest, v1::BoolReply>(
      "EndSession", rpc::kCallerGateway,
      [&sessions](CallPtr call, v1::EndSessionRequest request, Responder<v1::BoolReply> respond) {
        sessions.end(
            {request.session_id(), request.generation(), request.owner(), request.mark_ms()},
            call->deadline, answer(std::move(respond), bool_reply));
      });
  table.add<v1::LostSessionsRequest, v1::LostSessionsReply>(
      "LostSessions", rpc::kCallerGateway,
      [&sessions](CallPtr call, v1::LostSessionsRequest request,
                  Responder<v1::LostSessionsReply> respond) {
        sessions.lost(request.owner(), {request.after().begin(), request.after().end()},
                      call->deadline, answer(std::move(respond), lost_reply));
      });
}

}  // namespace

rpc::MethodTable cache_methods(Entries& entries, Leases& leases, Sessions& sessions) {
  rpc::MethodTable table;
  table.add<v1::KeyRequest, v1::ValueReply>(
      "Get", kProjectCallers,
      [&entries](CallPtr call, v1::KeyRequest request, Responder<v1::ValueReply> respond) {
        entries.get(target(call, request), answer(std::move(respond), value_reply));
      });
  table.add<v1::SetRequest, v1::SetReply>(
      "Set", kProjectCallers,
      [&entries](CallPtr call, v1::SetRequest request, Responder<v1::SetReply> respond) {
        entries.set(target(call, request), request.json(),
                    {request.ttl_seconds(), request.only_if_absent()},
                    answer(std::move(respond), set_reply));
      });
  table.add<v1::KeyRequest, v1::BoolReply>(
      "Delete", kProjectCallers,
      [&entries](CallPtr call, v1::KeyRequest request, Responder<v1::BoolReply> respond) {
        entries.erase(target(call, request), answer(std::move(respond), bool_reply));
      });
  table.add<v1::ExpireRequest, v1::BoolReply>(
      "Expire", kProjectCallers,
      [&entries](CallPtr call, v1::ExpireRequest request, Responder<v1::BoolReply> respond) {
        entries.expire(target(call, request), request.ttl_seconds(),
                       answer(std::move(respond), bool_reply));
      });
  table.add<v1::HashSetRequest, v1::CountReply>(
      "HashSet", kProjectCallers,
      [&entries](CallPtr call, v1::HashSetRequest request, Responder<v1::CountReply> respond) {
        Entries::Fields fields(request.fields().begin(), request.fields().end());
        entries.hash_set(target(call, request), fields, answer(std::move(respond), count_reply));
      });
  table.add<v1::KeyRequest, v1::ValueReply>(
      "HashGetAll", kProjectCallers,
      [&entries](CallPtr call, v1::KeyRequest request, Responder<v1::ValueReply> respond) {
        entries.hash_get_all(target(call, request), answer(std::move(respond), value_reply));
      });
  table.add<v1::MembersRequest, v1::CountReply>(
      "SetAdd", kProjectCallers,
      [&entries](CallPtr call, v1::MembersRequest request, Responder<v1::CountReply> respond) {
        entries.set_add(target(call, request), {request.members().begin(), request.members().end()},
                        answer(std::move(respond), count_reply));
      });
  table.add<v1::MembersRequest, v1::CountReply>(
      "SetRemove", kProjectCallers,
      [&entries](CallPtr call, v1::MembersRequest request, Responder<v1::CountReply> respond) {
        entries.set_remove(target(call, request),
                           {request.members().begin(), request.members().end()},
                           answer(std::move(respond), count_reply));
      });
  table.add<v1::KeyRequest, v1::MembersReply>(
      "SetMembers", kProjectCallers,
      [&entries](CallPtr call, v1::KeyRequest request, Responder<v1::MembersReply> respond) {
        entries.set_members(target(call, request), answer(std::move(respond), members_reply));
      });
  table.add<v1::LeaseTokensRequest, v1::LeaseTokensReply>(
      "LeaseTokens", rpc::kCallerGateway,
      [&leases](CallPtr call, v1::LeaseTokensRequest request,
                Responder<v1::LeaseTokensReply> respond) {
        leases.lease({request.bucket(), request.per_second(), request.burst(), request.want()},
                     call->deadline, answer(std::move(respond), lease_reply));
      });
  add_session_methods(table, sessions);
  return table;
}

}  // namespace raymesh::cache
