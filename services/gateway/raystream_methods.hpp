// The methods that a raystream session can call: for arguments in JSON the route of the HTTP API
// whose handler they have, for Protobuf the method of the service that they are passed on to. The
// one table of them; docs/protocols/raystream-methods.md is its text. Read-only; any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "libs/rpc/peer.hpp"
#include "services/gateway/routes.hpp"

namespace raymesh::gateway {

struct Peers;

enum class Service : uint8_t { kNone, kAuth, kStorage, kCache, kRealtime };

/// What has to be done with arguments in Protobuf beside passing them on.
enum class Forward : uint8_t {
  kPlain,
  kOperation,  // a QueryRequest; the method's name says its operation, if it says one
  kMigration,  // has the timeout of migrations
  kChannel,    // goes to the channel's node (field 1)
  kUser,       // on behalf of the session's user
  kToken,      // a VerifyTokenRequest; without a token it is about the session's
};

struct RaystreamMethod {
  std::string_view name;
  const Route* route = nullptr;      // nullptr: answered by the session itself
  std::string_view operation = {};   // of db.*
  Service service = Service::kNone;  // kNone: JSON only
  std::string_view rpc = {};
  rpc::Repeat repeat = rpc::Repeat::kNever;
  Forward forward = Forward::kPlain;
};

/// nullptr: there is none of this name.
const RaystreamMethod* find_raystream_method(std::string_view name);
/// What a SUBSCRIBE frame stands for among the calls; no call can name it.
const RaystreamMethod& subscribe_method();
/// All of them and that; the place in it numbers them, for metrics.
std::span<const RaystreamMethod> raystream_methods();

/// The session's own methods.
inline constexpr std::string_view kAttachMethod = "auth.attach";
inline constexpr std::string_view kEchoMethod = "raystream.echo";

}  // namespace raymesh::gateway
