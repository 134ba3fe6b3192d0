#include "services/gateway/routes.hpp"

#include <gtest/gtest.h>

namespace raymesh::gateway {
namespace {

std::string_view name_of(std::string_view method, std::string_view path) {
  const RouteMatch match = find_route(method, path);
  return match.route ? match.route->name : std::string_view("-");
}

TEST(RoutesTest, FindsEveryEndpoint) {
  EXPECT_EQ(name_of("POST", "/api/v1/db"), "db");
  EXPECT_EQ(name_of("POST", "/api/v1/db/migrate"), "db_migrate");
  EXPECT_EQ(name_of("POST", "/api/v1/auth/login"), "auth_login");
  EXPECT_EQ(name_of("POST", "/api/v1/auth/mfa/enroll"), "auth_later");
  EXPECT_EQ(name_of("POST", "/api/v1/auth/nothing"), "auth_unknown");
  EXPECT_EQ(name_of("GET", "/api/v1/info"), "info");
  EXPECT_EQ(name_of("HEAD", "/api/v1/info"), "info");
  EXPECT_EQ(name_of("GET", "/api/v1/cache/kv/a"), "cache_get");
  EXPECT_EQ(name_of("PUT", "/api/v1/cache/kv/a/b"), "cache_set");
  EXPECT_EQ(name_of("DELETE", "/api/v1/cache/kv/a"), "cache_delete");
  EXPECT_EQ(name_of("GET", "/api/v1/cache/other/a"), "cache_unknown");
  EXPECT_EQ(name_of("POST", "/api/v1/realtime/token"), "realtime_token");
  EXPECT_EQ(name_of("GET", "/api/v1/realtime/channels/room/presence"), "realtime_presence");
  EXPECT_EQ(name_of("GET", "/api/v1/realtime/channels/room"), "realtime_unknown");
  EXPECT_EQ(name_of("POST", "/api/v1/storage"), "storage");
  EXPECT_EQ(name_of("POST", "/api/v1/notifications/email"), "notifications");
  EXPECT_EQ(name_of("PATCH", "/api/v1/payments/plans"), "payments");
}

TEST(RoutesTest, GivesTheRestOfThePath) {
  EXPECT_EQ(find_route("GET", "/api/v1/cache/kv/a%2Fb/c").rest, "a%2Fb/c");
  EXPECT_EQ(find_route("GET", "/api/v1/cache/kv/").rest, "");
  EXPECT_EQ(find_route("GET", "/api/v1/realtime/channels/a%2Fb/presence").rest, "a%2Fb");
}

TEST(RoutesTest, KnowsTheMethodsOfAPath) {
  EXPECT_EQ(find_route("GET", "/api/v1/db").allowed, "POST");
  EXPECT_EQ(find_route("POST", "/api/v1/info").allowed, "GET, HEAD");
  EXPECT_EQ(find_route("PATCH", "/api/v1/cache/kv/a").allowed, "GET, HEAD, PUT, DELETE");
  EXPECT_EQ(find_route("GET", "/api/v1/auth/login").allowed, "POST");
  for (auto path :
       {"/api/v1/nothing", "/api/v1/dbx", "/api/v1/db/", "/api/v1/", "/api/v1/info/x"}) {
    const RouteMatch match = find_route("POST", path);
    EXPECT_EQ(match.route, nullptr) << path;
    EXPECT_TRUE(match.allowed.empty()) << path;
  }
}

TEST(RoutesTest, EveryRouteIsReachable) {
  for (size_t i = 0; i < route_count(); ++i) {
    const Route& route = route_at(i);
    const std::string path =
        std::string(route.path) + (route.open ? "x" : "") + std::string(route.suffix);
    const RouteMatch match = find_route(route.method == "*" ? "GET" : route.method, path);
    EXPECT_EQ(match.route, &route) << route.path;
    EXPECT_EQ(route_index(route), i);
  }
}

}  // namespace
}  // namespace raymesh::gateway
