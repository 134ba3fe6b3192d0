#include "services/gateway/raystream_methods.hpp"

#include <gtest/gtest.h>

#include <set>

namespace raymesh::gateway {
namespace {

TEST(RaystreamMethodsTest, EveryMethodIsFoundByItsNameAndThereAreNoOthers) {
  std::set<std::string_view> names;
  for (const RaystreamMethod& method : raystream_methods()) {
    // A frame of its own, no call.
    const bool frame = &method == &subscribe_method();
    EXPECT_EQ(find_raystream_method(method.name), frame ? nullptr : &method);
    EXPECT_TRUE(names.insert(method.name).second) << method.name;
  }
  for (const char* name : {"", "db", "db.", "db.Find", "db.exec", "auth.resolveKey"})
    EXPECT_EQ(find_raystream_method(name), nullptr) << name;
}

TEST(RaystreamMethodsTest, EveryMethodButTheSessionsOwnHasTheHandlerOfARoute) {
  for (const RaystreamMethod& method : raystream_methods()) {
    const bool own = method.name == kAttachMethod || method.name == kEchoMethod;
    EXPECT_EQ(method.route == nullptr, own) << method.name;
    // Where it is one of those that catch the rest, the table has a wrong path.
    if (own) continue;
    EXPECT_EQ(method.route->name.find("unknown"), std::string_view::npos) << method.name;
  }
}

// What the HTTP API has and a session has not would be forgotten otherwise.
TEST(RaystreamMethodsTest, EveryRouteThatIsServedCanBeCalled) {
  std::set<const Route*> reached;
  for (const RaystreamMethod& method : raystream_methods()) reached.insert(method.route);
  const std::set<std::string_view> without = {"auth_later",       "auth_unknown",  "cache_unknown",
                                              "realtime_unknown", "raystream_key", "storage",
                                              "notifications",    "payments"};
  for (size_t i = 0; i < route_count(); ++i)
    EXPECT_NE(reached.contains(&route_at(i)), without.contains(route_at(i).name))
        << route_at(i).name;
}

TEST(RaystreamMethodsTest, OnlyReadsAreSentTwice) {
  for (const char* name : {"db.insert", "db.update", "db.delete", "db.migrate", "db.query",
                           "cache.set", "cache.delete", "realtime.publish", "auth.signup"})
    EXPECT_EQ(find_raystream_method(name)->repeat, rpc::Repeat::kNever) << name;
  for (const char* name : {"db.find", "db.count", "cache.get", "realtime.history"})
    EXPECT_EQ(find_raystream_method(name)->repeat, rpc::Repeat::kSafe) << name;
}

}  // namespace
}  // namespace raymesh::gateway
