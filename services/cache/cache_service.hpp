// The gRPC face of the cache service: maps its messages to Entries and Leases and back. Handlers
// run on gRPC threads and hand over at once.
#pragma once

#include "libs/rpc/server.hpp"
#include "raymesh/cache/v1/cache.grpc.pb.h"

namespace raymesh::cache {

class Entries;
class Leases;

class CacheService final : public rpc::CallsService<v1::Cache> {
 public:
  using CallsService::CallsService;
  using Context = grpc::CallbackServerContext;
  using Reactor = grpc::ServerUnaryReactor;

  Reactor* Get(Context* c, const v1::KeyRequest* q, v1::ValueReply* r) override;
  Reactor* Set(Context* c, const v1::SetRequest* q, v1::SetReply* r) override;
  Reactor* Delete(Context* c, const v1::KeyRequest* q, v1::BoolReply* r) override;
  Reactor* Expire(Context* c, const v1::ExpireRequest* q, v1::BoolReply* r) override;
  Reactor* HashSet(Context* c, const v1::HashSetRequest* q, v1::CountReply* r) override;
  Reactor* HashGetAll(Context* c, const v1::KeyRequest* q, v1::ValueReply* r) override;
  Reactor* SetAdd(Context* c, const v1::MembersRequest* q, v1::CountReply* r) override;
  Reactor* SetRemove(Context* c, const v1::MembersRequest* q, v1::CountReply* r) override;
  Reactor* SetMembers(Context* c, const v1::KeyRequest* q, v1::MembersReply* r) override;
  Reactor* LeaseTokens(Context* c, const v1::LeaseTokensRequest* q,
                       v1::LeaseTokensReply* r) override;
};

/// The methods, for both doors. `entries` and `leases` outlive the server.
rpc::MethodTable cache_methods(Entries& entries, Leases& leases);

}  // namespace raymesh::cache
