#include "services/gateway/edge_rules.hpp"

#include <gtest/gtest.h>

#include "services/gateway/http_response.hpp"
#include "services/gateway/request_id.hpp"

namespace raymesh::gateway {
namespace {

using Fields = std::vector<std::pair<std::string_view, std::string_view>>;

net::RequestHead head(Fields fields) {
  net::RequestHead h;
  h.fields = std::move(fields);
  return h;
}

TEST(ClientAddressTest, BelievesTheConnectionUnlessProxiesAreTrusted) {
  const auto h = head({{"X-Forwarded-For", "1.1.1.1, 2.2.2.2"}, {"x-forwarded-for", "3.3.3.3"}});
  EXPECT_EQ(client_address(h, "9.9.9.9", 0), "9.9.9.9");
  EXPECT_EQ(client_address(h, "9.9.9.9", 1), "3.3.3.3");
  EXPECT_EQ(client_address(h, "9.9.9.9", 2), "2.2.2.2");
  EXPECT_EQ(client_address(h, "9.9.9.9", 3), "1.1.1.1");
  EXPECT_EQ(client_address(h, "9.9.9.9", 4), "9.9.9.9");
}

TEST(ClientAddressTest, IgnoresWhatIsNotAnAddress) {
  EXPECT_EQ(client_address(head({{"X-Forwarded-For", "unknown"}}), "9.9.9.9", 1), "9.9.9.9");
  EXPECT_EQ(client_address(head({{"X-Forwarded-For", "1.1.1.1:80"}}), "9.9.9.9", 1), "9.9.9.9");
  EXPECT_EQ(client_address(head({}), "9.9.9.9", 1), "9.9.9.9");
}

TEST(ClientAddressTest, CountsAnIpv6NetworkAsOne) {
  EXPECT_EQ(address_bucket("1.2.3.4"), "1.2.3.4");
  EXPECT_EQ(address_bucket("2001:db8:1:2:3:4:5:6"), address_bucket("2001:db8:1:2::9"));
  EXPECT_NE(address_bucket("2001:db8:1:2::1"), address_bucket("2001:db8:1:3::1"));
  EXPECT_EQ(address_bucket("::ffff:1.2.3.4"), "1.2.3.4");
}

TEST(LocalRequestTest, WantsLoopbackHostAndOrigin) {
  EXPECT_TRUE(is_local_request(head({{"Host", "localhost:4000"}})));
  EXPECT_TRUE(
      is_local_request(head({{"Host", "127.0.0.1:4000"}, {"Origin", "http://localhost:3000"}})));
  EXPECT_TRUE(
      is_local_request(head({{"Host", "[::1]:4000"}, {"Origin", "https://app.localhost"}})));
  EXPECT_FALSE(is_local_request(head({{"Host", "attacker.example:4000"}})));
  EXPECT_FALSE(
      is_local_request(head({{"Host", "localhost"}, {"Origin", "https://attacker.example"}})));
  EXPECT_FALSE(is_local_request(head({{"Host", "localhost"}, {"Origin", "null"}})));
  EXPECT_FALSE(is_local_request(
      head({{"Host", "localhost"}, {"Origin", "https://localhost.attacker.example"}})));
  EXPECT_FALSE(is_local_request(head(
      {{"Host", "localhost"}, {"Origin", "http://localhost"}, {"Origin", "http://a.example"}})));
}

TEST(BearerKeyTest, ReadsTheKey) {
  EXPECT_EQ(bearer_key("Bearer dc_abc"), "dc_abc");
  EXPECT_EQ(bearer_key("bearer  dc_abc "), "dc_abc");
  EXPECT_EQ(bearer_key("Bearer "), "");
  EXPECT_EQ(bearer_key("Basic dc_abc"), "");
  EXPECT_EQ(bearer_key(""), "");
}

TEST(RequestIdTest, AcceptsOnlyHarmlessIds) {
  EXPECT_TRUE(is_acceptable_request_id("aB3._-"));
  EXPECT_TRUE(is_acceptable_request_id(std::string(128, 'a')));
  for (const std::string& id : {std::string(), std::string(129, 'a'), std::string("a b"),
                                std::string("a\"b"), std::string("\xc3\xa9")})
    EXPECT_FALSE(is_acceptable_request_id(id)) << id;
  std::string a, b;
  append_request_id(a);
  append_request_id(b);
  EXPECT_EQ(a.size(), 16u);
  EXPECT_NE(a, b);
  EXPECT_TRUE(is_acceptable_request_id(a));
}

TEST(QueryValueTest, FindsTheFirst) {
  EXPECT_EQ(query_value("ttl=5&nx=true", "ttl"), "5");
  EXPECT_EQ(query_value("ttl=5&nx=true", "nx"), "true");
  EXPECT_EQ(query_value("ttl=5&ttl=6", "ttl"), "5");
  EXPECT_EQ(query_value("attl=5", "ttl"), "");
  EXPECT_EQ(query_value("ttl", "ttl"), "");
  EXPECT_EQ(query_value("", "ttl"), "");
  EXPECT_EQ(query_value("&&=&ttl=1=2&", "ttl"), "1=2");
}

TEST(ResponseHeadTest, WritesWhatIsSet) {
  std::string out;
  append_head(
      out,
      {.status = 429, .content_length = 7, .close = true, .request_id = "id", .retry_after = 3});
  EXPECT_EQ(out.find("HTTP/1.1 429 Too Many Requests\r\nDate: "), 0u);
  for (auto line :
       {"Content-Length: 7\r\n", "Content-Type: application/json\r\n", "X-Request-Id: id\r\n",
        "Retry-After: 3\r\n", "Connection: close\r\n", "Access-Control-Allow-Origin: *\r\n"})
    EXPECT_NE(out.find(line), std::string::npos) << line;
  EXPECT_EQ(out.substr(out.size() - 4), "\r\n\r\n");
  out.clear();
  append_head(
      out, {.status = 204, .has_content = false, .request_id = {}, .allow = {}, .preflight = true});
  EXPECT_EQ(out.find("Content-Length"), std::string::npos);
  EXPECT_NE(out.find("X-App-Url"), std::string::npos);
}

}  // namespace
}  // namespace raymesh::gateway
