// Areas of the API that are specified but not built: 501 with a code, so that a client sees the
// difference from a wrong path.
#include "services/gateway/exchange.hpp"
#include "services/gateway/routes.hpp"

namespace raymesh::gateway {
namespace {

void later(Exchange& ex) {
  ex.fail(Error(errors::kNotImplemented, "This part of the API does not exist yet"));
}

constexpr Route area(std::string_view name, std::string_view path, bool open) {
  return {.name = name,
          .method = "*",
          .path = path,
          .open = open,
          .body = BodyLimit::kDefault,
          .handle = later};
}

}  // namespace

std::span<const Route> later_routes() {
  static const Route kRoutes[] = {
      area("storage", "/api/v1/storage", false),
      area("storage", "/api/v1/storage/", true),
      area("notifications", "/api/v1/notifications", false),
      area("notifications", "/api/v1/notifications/", true),
      area("payments", "/api/v1/payments", false),
      area("payments", "/api/v1/payments/", true),
  };
  return kRoutes;
}

}  // namespace raymesh::gateway
