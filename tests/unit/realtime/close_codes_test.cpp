#include "services/realtime/close_codes.hpp"

#include <gtest/gtest.h>

#include <fstream>
#include <set>
#include <sstream>
#include <string>

#include "libs/net/websocket/frame.hpp"

namespace raymesh::realtime {
namespace {

TEST(CloseCodesTest, AreValidOnTheWireAndUnique) {
  std::set<uint16_t> seen;
  for (const CloseCode& c : close::kAll) {
    EXPECT_TRUE(net::websocket::is_valid_close_code(c.code)) << c.code;
    EXPECT_TRUE(seen.insert(c.code).second) << c.code;
    EXPECT_LE(c.reason.size(), net::websocket::kMaxControlPayload - 2);
    if (c.code >= 4000) {
      EXPECT_EQ(c.reconnect, c.code < 4500) << c.code;
    }
  }
}

// One row each: | 4401 | yes | token expired | meaning |
TEST(CloseCodesTest, DocumentationShowsTheSameTable) {
  std::ifstream file(std::string(RAYMESH_SOURCE_DIR) + "/docs/protocols/realtime.md");
  ASSERT_TRUE(file.good());
  std::stringstream text;
  text << file.rdbuf();
  const std::string page = text.str();
  size_t rows = 0;
  for (const CloseCode& c : close::kAll) {
    const std::string row = "| " + std::to_string(c.code) + " | " + (c.reconnect ? "yes" : "no") +
                            " | `" + std::string(c.reason) + "` | " + std::string(c.meaning) + " |";
    EXPECT_NE(page.find(row), std::string::npos)
        << "missing in docs/protocols/realtime.md: " << row;
  }
  for (size_t at = 0; (at = page.find("\n| ", at)) != std::string::npos; ++at)
    if (page.find(" | ", at + 3) == at + 7) rows += page[at + 3] >= '1' && page[at + 3] <= '9';
  EXPECT_EQ(rows, close::kAll.size());
}

}  // namespace
}  // namespace raymesh::realtime
