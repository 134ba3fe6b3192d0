#include "libs/base/trace_context.hpp"

#include <gtest/gtest.h>

#include <set>

namespace raymesh {
namespace {

constexpr const char* kExample = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

TEST(TraceContextTest, ReadsTheSpecificationsExample) {
  auto context = TraceContext::parse(kExample);
  ASSERT_TRUE(context);
  EXPECT_EQ(context->trace_id_hex(), "4bf92f3577b34da6a3ce929d0e0e4736");
  EXPECT_EQ(context->flags, 1);
  EXPECT_EQ(context->to_string(), kExample);
}

TEST(TraceContextTest, RefusesWhatTheSpecificationForbids) {
  for (const char* text : {
           "",
           "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
           "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
           "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
           "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
           "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
           "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
           "00-4bf92f3577b34da6a3ce929d0e0e473g-00f067aa0ba902b7-01",
           "00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
       })
    EXPECT_FALSE(TraceContext::parse(text)) << text;
}

TEST(TraceContextTest, AChildStaysInTheTraceWithItsOwnSpan) {
  TraceContext parent = TraceContext::start();
  TraceContext child = parent.child();
  EXPECT_EQ(child.trace_id, parent.trace_id);
  EXPECT_EQ(child.flags, parent.flags);
  EXPECT_NE(child.span_id, parent.span_id);
}

TEST(TraceContextTest, NewTracesDifferAndReadBack) {
  std::set<std::string> seen;
  for (int i = 0; i < 1000; ++i) {
    TraceContext context = TraceContext::start();
    EXPECT_TRUE(seen.insert(context.trace_id_hex()).second);
    EXPECT_TRUE(TraceContext::parse(context.to_string()));
  }
}

}  // namespace
}  // namespace raymesh
