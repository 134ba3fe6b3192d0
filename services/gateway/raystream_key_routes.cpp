// GET /api/v1/raystream/key: the public halves of the keys by which a raystream client knows the
// gateways. To be believed only over HTTPS or on loopback, so clients that can pin them.
#include "libs/base/encoding.hpp"
#include "libs/base/json_writer.hpp"
#include "services/gateway/core.hpp"
#include "services/gateway/exchange.hpp"
#include "services/gateway/routes.hpp"

namespace raymesh::gateway {
namespace {

void show_keys(Exchange& ex) {
  const auto& keys = ex.core().raystream_keys;
  if (!keys)
    return ex.fail(Error(errors::kNotFound,
                         "raystream is off: this gateway has no signing keys (--raystream-keys)"));
  std::string out;
  json::Object o(out);
  std::string& list = o.key("keys") += '[';
  for (const raystream::ServerKey& key : keys->keys()) {
    if (list.back() != '[') list += ',';
    json::Object k(list);
    k.string("id", key.id);
    k.string("algorithm", "ed25519");
    const auto& public_key = key.key.public_key();
    k.string("publicKey", base64url_encode({public_key.data(), public_key.size()}));
    k.end();
  }
  list += ']';
  o.end();
  ex.reply(200, out);
}

}  // namespace

std::span<const Route> raystream_key_routes() {
  static const Route kRoutes[] = {{.name = "raystream_key",
                                   .method = "GET",
                                   .path = "/api/v1/raystream/key",
                                   .handle = show_keys}};
  return kRoutes;
}

}  // namespace raymesh::gateway
