// `raymesh token create`: service tokens, for programs that are not part of the cluster.
#include "apps/raymesh/commands.hpp"
#include "libs/base/json_writer.hpp"
#include "libs/crypto/key_ring.hpp"
#include "libs/pg/project_identity.hpp"
#include "libs/rpc/service_token.hpp"

namespace raymesh::cli {
namespace {

int create_token(Invocation& invocation) {
  std::string project;
  std::vector<std::string> keys;
  std::chrono::milliseconds life = std::chrono::hours(24);
  config::Options options;
  options.section("")
      .text("project", &project, "the only project that the token works in")
      .duration("ttl", &life, std::chrono::seconds(1), std::chrono::hours(24 * 365),
                "how long it works; it cannot be revoked, except by taking its key away")
      .secret_list("service-token-keys", &keys,
                   "kid:secret pairs, the same as the services'; the first one signs");
  return run_command(
      invocation,
      {"token create", "",
       "Makes a service token, which lets a program call the services over gRPC in one project:\n"
       "it sends the metadata `authorization: Bearer <token>`. Nothing is stored."},
      options, [&](const auto&, Output& output) -> Status {
        if (project.empty()) return usage_error("--project is missing");
        if (!pg::is_valid_project_id(project)) return usage_error("bad project id: " + project);
        if (keys.empty())
          return usage_error("--service-token-keys or --service-token-keys-file is missing");
        auto ring = crypto::KeyRing::parse(keys);
        if (!ring.ok()) return usage_error("--service-token-keys: " + ring.error().message);
        const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(life);
        RAYMESH_TRY(auto token, rpc::sign_service_token(*ring, project, seconds));
        if (!output.json) {
          output.out << token << '\n';
          return ok_status();
        }
        std::string text;
        json::Object o(text);
        o.string("token", token);
        o.string("project", project);
        o.integer("expiresIn", seconds.count());
        o.end();
        output.out << text << '\n';
        return ok_status();
      });
}

}  // namespace

int token_command(Invocation& invocation) {
  return run_group(invocation, "token", {{"create", "make a service token", create_token}});
}

}  // namespace raymesh::cli
