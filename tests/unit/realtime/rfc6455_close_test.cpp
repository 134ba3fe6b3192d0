// RFC 6455 sections 5.5.1 and 7: close frames, their codes and reasons, what comes behind them, and
// who ends the TCP connection.
#include "rfc6455_fixture.hpp"

namespace raymesh::realtime {
namespace {

class CloseTest : public Rfc6455Test {};
TEST_P(CloseTest, Holds) {
  hold(GetParam());
}

std::string close_with(unsigned code, const std::string& reason = {}) {
  return client_frame(Opcode::kClose, bytes({code >> 8, code & 0xff}) + reason);
}

std::vector<Conversation> codes() {
  std::vector<Conversation> out;
  for (const unsigned code : {1000u, 1001u, 1002u, 1003u, 1007u, 1008u, 1009u, 1010u, 1011u, 1012u,
                              1013u, 1014u, 3000u, 3999u, 4000u, 4408u, 4999u}) {
    const std::string name = std::to_string(code);
    const int answer = static_cast<int>(code);
    out.push_back({"Answers" + name, {close_with(code)}, {}, {}, answer});
    out.push_back(
        {"Answers" + name + "WithAReason", {close_with(code, "because")}, {}, {}, answer});
  }
  for (const unsigned code : {0u, 1u, 999u, 1004u, 1005u, 1006u, 1015u, 1016u, 1100u, 1999u, 2000u,
                              2999u, 5000u, 9999u, 65'535u})
    out.push_back({"Refuses" + std::to_string(code), {close_with(code)}, {}, {}, 1002});
  return out;
}

std::vector<Conversation> payloads() {
  std::string umlauts;
  for (int i = 0; i < 61; ++i) umlauts += "\xc3\xa4";
  const std::string empty = client_frame(Opcode::kClose, "");
  return {
      {"AnswersAnEmptyOneWithAnEmptyOne", {empty}, {}, {}, 0},
      {"RefusesHalfACode", {client_frame(Opcode::kClose, "\x03")}, {}, {}, 1002},
      {"TakesAReasonOf123Bytes", {close_with(1000, umlauts + "x")}, {}, {}, 1000},
      {"RefusesAReasonOf124Bytes", {close_with(1000, umlauts + "xy")}, {}, {}, 1002},
      {"RefusesAReasonThatIsNotUtf8", {close_with(1000, "\xce\xba\xed\xa0\x80")}, {}, {}, 1007},
      {"RefusesAReasonThatEndsInsideACharacter", {close_with(1000, "a\xe2\x82")}, {}, {}, 1007},
      {"RefusesACodeBeforeItsReason", {close_with(1005, "\xff")}, {}, {}, 1002},
  };
}

std::vector<Conversation> orders() {
  const std::string text = publishing("1");
  const std::string head = text.substr(0, 10);
  const std::string tail = text.substr(10);
  const std::string bye = close_with(1000);
  std::vector<std::string> much = {text_frame("1"), bye};
  for (int i = 0; i < 64; ++i) much.push_back(text_frame(payload_for(16'384)));
  return {
      {"DeliversWhatCameBefore", {text_frame("1"), text_frame("2"), bye}, {"1", "2"}, {}, 1000},
      {"AnswersThePingBefore", {ping("p"), bye}, {}, {"p"}, 1000},
      {"AnswersASecondOneNot", {bye, close_with(1001)}, {}, {}, 1000},
      {"AnswersAPingBehindItNot", {bye, ping("p")}, {}, {}, 1000},
      {"DeliversNothingBehindIt", {bye, text_frame("2")}, {}, {}, 1000},
      {"LooksAtNoRuleBehindIt", {bye, bytes({0xff, 0xff, 0xff, 0xff})}, {}, {}, 1000},
      {"AnswersItBehindAGreatDeal",
       {text_frame("1"), text_frame(payload_for(65'536)), bye},
       {"1", payload_for(65'536)},
       {},
       1000},
      {"AnswersItBeforeAGreatDeal", much, {"1"}, {}, 1000},
      {"DropsTheMessageThatItInterrupts",
       {client_frame(Opcode::kText, head, false), bye, client_frame(Opcode::kContinuation, tail)},
       {},
       {},
       1000},
      {"DropsTheUnfinishedMessage", {client_frame(Opcode::kText, head, false), bye}, {}, {}, 1000},
  };
}

INSTANTIATE_TEST_SUITE_P(Codes, CloseTest, ::testing::ValuesIn(codes()), claim_of);
INSTANTIATE_TEST_SUITE_P(Payloads, CloseTest, ::testing::ValuesIn(payloads()), claim_of);
INSTANTIATE_TEST_SUITE_P(Orders, CloseTest, ::testing::ValuesIn(orders()), claim_of);

class ClosingNodeTest : public NodeFixture {
 protected:
  /// Makes the node close the connection first.
  static void break_a_rule(WsClient& client) { client.send(Opcode::kText, "\xff"); }
  static std::optional<WsClient::Frame> close_frame_of(WsClient& client) {
    auto frame = client.receive();
    EXPECT_TRUE(frame && frame->opcode == Opcode::kClose);
    return frame;
  }
};

// Section 7.1.1: the server ends the TCP connection, once the client has answered.
TEST_F(ClosingNodeTest, EndsTheConnectionWhenTheClientHasAnswered) {
  config_.limits.close_timeout = std::chrono::milliseconds(60'000);
  start();
  auto client = connect({"r"});
  break_a_rule(client);
  const auto frame = close_frame_of(client);
  EXPECT_EQ(node_->connections(), 1u);
  client.send(Opcode::kClose, frame->payload);
  EXPECT_FALSE(client.receive());
  eventually([&] { return node_->connections() == 0; });
}

TEST_F(ClosingNodeTest, EndsTheConnectionOfAClientThatDoesNotAnswer) {
  config_.limits.close_timeout = std::chrono::milliseconds(300);
  start();
  auto client = connect({"r"});
  break_a_rule(client);
  close_frame_of(client);
  EXPECT_FALSE(client.receive());
  eventually([&] { return node_->connections() == 0; });
}

TEST_F(ClosingNodeTest, EndsTheConnectionOfAClientThatAnswersWithGarbage) {
  config_.limits.close_timeout = std::chrono::milliseconds(60'000);
  start();
  auto client = connect({"r"});
  break_a_rule(client);
  close_frame_of(client);
  client.send_raw(std::string(100, '\xff'));
  EXPECT_FALSE(client.receive());
  eventually([&] { return node_->connections() == 0; });
}

TEST_F(ClosingNodeTest, DeliversNothingOfAClientThatItHasClosed) {
  start();
  auto other = connect({"r"});
  auto client = connect({"r"});
  break_a_rule(client);
  const auto frame = close_frame_of(client);
  client.send_text(publish_frame("r", R"("late")"));
  client.send(Opcode::kPing, "late");
  client.send(Opcode::kClose, frame->payload);
  EXPECT_FALSE(client.receive());
  publish("r", "1");
  EXPECT_EQ(other.receive_text(), message("r", "1"));
}

TEST_F(ClosingNodeTest, DeliversNothingToAClientThatItHasClosed) {
  config_.limits.close_timeout = std::chrono::milliseconds(300);
  start();
  auto client = connect({"r"});
  break_a_rule(client);
  close_frame_of(client);
  EXPECT_EQ(publish("r", "1"), 0u);
  EXPECT_FALSE(client.receive());
}

}  // namespace
}  // namespace raymesh::realtime
