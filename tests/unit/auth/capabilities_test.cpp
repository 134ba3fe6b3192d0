#include "services/auth/capabilities.hpp"

#include <gtest/gtest.h>

namespace raymesh::auth {
namespace {

bool may(std::string_view name, std::string_view role) {
  for (const Capability& capability : kCapabilities)
    if (capability.name == name) return has_capability(capability, role);
  ADD_FAILURE() << "no capability " << name;
  return false;
}

TEST(CapabilitiesTest, AKeyWithoutRoleHasAllThatThereIs) {
  for (const char* name : {"database", "migrate", "auth", "cache", "realtime"})
    EXPECT_TRUE(may(name, "")) << name;
  for (const char* name : {"storage", "notifications", "payments"})
    EXPECT_FALSE(may(name, "")) << name;
}

TEST(CapabilitiesTest, MigrateNeedsAdminOrOwner) {
  EXPECT_TRUE(may("migrate", "admin"));
  EXPECT_TRUE(may("migrate", "owner"));
  EXPECT_FALSE(may("migrate", "viewer"));
  EXPECT_TRUE(may("database", "viewer"));
}

}  // namespace
}  // namespace raymesh::auth
