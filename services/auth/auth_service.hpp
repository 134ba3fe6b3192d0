// The gRPC face of the auth service: maps its messages to Accounts and back. Handlers run on gRPC
// threads and hand over at once.
#pragma once

#include <memory>

#include "libs/rpc/server.hpp"
#include "raymesh/auth/v1/auth.grpc.pb.h"

namespace raymesh::auth {

class Accounts;

class AuthService final : public rpc::CallsService<v1::Auth> {
 public:
  using CallsService::CallsService;

  grpc::ServerUnaryReactor* ResolveKey(grpc::CallbackServerContext* context,
                                       const v1::ResolveKeyRequest* request,
                                       v1::ResolveKeyReply* reply) override;
  grpc::ServerUnaryReactor* Signup(grpc::CallbackServerContext* context,
                                   const v1::SignupRequest* request,
                                   v1::SignupReply* reply) override;
  grpc::ServerUnaryReactor* Login(grpc::CallbackServerContext* context,
                                  const v1::LoginRequest* request, v1::LoginReply* reply) override;
  grpc::ServerUnaryReactor* VerifyToken(grpc::CallbackServerContext* context,
                                        const v1::VerifyTokenRequest* request,
                                        v1::VerifyTokenReply* reply) override;
};

/// The methods, for both doors. `accounts` outlives the server.
rpc::MethodTable auth_methods(Accounts& accounts);

}  // namespace raymesh::auth
