#include "services/gateway/routes.hpp"

#include <algorithm>
#include <vector>

#include "services/gateway/api_key_cache.hpp"
#include "services/gateway/config.hpp"

namespace raymesh::gateway {
namespace {

// In the order of the search: what is asked most stands first, what catches the rest stands last.
const std::vector<Route>& all_routes() {
  static const std::vector<Route> kRoutes = [] {
    std::vector<Route> all;
    for (auto area : {db_routes(), cache_routes(), realtime_routes(), auth_routes(), info_routes(),
                      raystream_key_routes(), later_routes()})
      all.insert(all.end(), area.begin(), area.end());
    return all;
  }();
  return kRoutes;
}

bool matches(const Route& route, std::string_view path, std::string_view& rest) {
  if (!route.open) return path == route.path;
  if (path.size() < route.path.size() + route.suffix.size() || !path.starts_with(route.path) ||
      !path.ends_with(route.suffix))
    return false;
  rest = path.substr(route.path.size(), path.size() - route.path.size() - route.suffix.size());
  return true;
}

}  // namespace

uint64_t body_limit(const Route& route, const Config& config) {
  switch (route.body) {
    case BodyLimit::kSmall:
      return std::min<uint64_t>(kSmallBody, config.max_body);
    case BodyLimit::kDefault:
      return config.max_body;
    case BodyLimit::kMigration:
      return config.max_migration;
  }
  return 0;
}

bool may_use(const Route& route, const KeyInfo* key) {
  return route.capability.empty() || (key && key->may(route.capability));
}

Error lacks_capability(const Route& route) {
  return Error(errors::kPermissionDenied,
               "this API key's role lacks the capability \"" + std::string(route.capability) + '"');
}

RouteMatch find_route(std::string_view method, std::string_view path) {
  if (method == "HEAD") method = "GET";
  RouteMatch match;
  for (const Route& route : all_routes()) {
    if (!matches(route, path, match.rest)) continue;
    if (route.method == method) {
      match.route = &route;
      return match;
    }
    if (route.method == "*") {
      // A path that exists with other methods is a 405 even where an area catches the rest.
      if (match.allowed.empty()) match.route = &route;
      return match;
    }
    if (!match.allowed.empty()) match.allowed += ", ";
    match.allowed += route.method;
    if (route.method == "GET") match.allowed += ", HEAD";
  }
  return match;
}

size_t route_count() {
  return all_routes().size();
}

size_t route_index(const Route& route) {
  return static_cast<size_t>(&route - all_routes().data());
}

const Route& route_at(size_t index) {
  return all_routes()[index];
}

}  // namespace raymesh::gateway
