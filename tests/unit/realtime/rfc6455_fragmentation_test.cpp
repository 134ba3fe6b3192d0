// RFC 6455 section 5.4: fragments, control frames between them, and messages of every size that the
// node's limit allows.
#include "rfc6455_fixture.hpp"

namespace raymesh::realtime {
namespace {

constexpr auto kContinuation = Opcode::kContinuation;

class FragmentationTest : public Rfc6455Test {};
TEST_P(FragmentationTest, Holds) {
  hold(GetParam());
}

std::string first(std::string_view part) {
  return client_frame(Opcode::kText, part, false);
}
std::string middle(std::string_view part) {
  return client_frame(kContinuation, part, false);
}
std::string last(std::string_view part) {
  return client_frame(kContinuation, part);
}

std::vector<Conversation> joins() {
  const std::string text = publishing(R"("joined")");
  const std::string a = text.substr(0, 10);
  const std::string b = text.substr(10, 10);
  const std::string c = text.substr(20);
  const std::vector<std::string> joined = {R"("joined")"};
  std::vector<std::string> bytewise = fragments(text, 1);
  return {
      {"JoinsTwo", {first(a), last(b + c)}, joined},
      {"JoinsThree", {first(a), middle(b), last(c)}, joined},
      {"JoinsBinary", {client_frame(Opcode::kBinary, a, false), middle(b), last(c)}, joined},
      {"JoinsFragmentsOfOneByte", bytewise, joined},
      {"JoinsEmptyOnesToo",
       {first(""), middle(""), middle(a), middle(""), middle(b), last(c)},
       joined},
      {"JoinsWithAnEmptyEnd", {first(a), middle(b + c), last("")}, joined},
      {"TakesAnEmptyMessageInThreeFragments", {first(""), middle(""), last("")}},
      {"AnswersAPingBetween", {first(a), ping("p"), last(b + c)}, joined, {"p"}},
      {"AnswersEveryPingBetween",
       {first(a), ping("1"), ping("2"), middle(b), ping("3"), last(c), ping("4")},
       joined,
       {"1", "2", "3", "4"}},
      {"IgnoresAPongBetween", {first(a), pong("p"), middle(b), pong(), last(c)}, joined},
      {"JoinsMessageAfterMessage",
       {first(a), last(b + c), first(a), middle(b), last(c), text_frame("2"), first(a),
        last(b + c)},
       {R"("joined")", R"("joined")", "2", R"("joined")"}},
  };
}

std::vector<Conversation> disorder() {
  const std::string text = publishing("1");
  const std::string a = text.substr(0, 10);
  const std::string b = text.substr(10);
  return {
      {"RefusesAContinuationOfNothing", {last(text)}, {}, {}, 1002},
      {"RefusesAnUnfinishedContinuationOfNothing", {middle(text)}, {}, {}, 1002},
      {"RefusesAnEmptyContinuationOfNothing", {last("")}, {}, {}, 1002},
      {"RefusesItAlsoWithAMessageBehind", {last("x"), text_frame("1")}, {}, {}, 1002},
      {"RefusesAContinuationBehindAWholeMessage", {text_frame("1"), last("x")}, {"1"}, {}, 1002},
      {"RefusesAContinuationBehindAFragmentedMessage",
       {first(a), last(b), middle("x"), text_frame("2")},
       {"1"},
       {},
       1002},
      {"RefusesTextInsideAMessage", {first(a), text_frame("2")}, {}, {}, 1002},
      {"RefusesBinaryInsideAMessage", {first(a), client_frame(Opcode::kBinary, b)}, {}, {}, 1002},
      {"RefusesAnotherStartInsideAMessage", {first(a), first(b), last("")}, {}, {}, 1002},
      {"RefusesItBehindAPing", {first(a), ping("p"), text_frame("2")}, {}, {"p"}, 1002},
      {"StopsAnsweringPingsWhenItRefuses", {last("x"), ping("p")}, {}, {}, 1002},
  };
}

INSTANTIATE_TEST_SUITE_P(Joins, FragmentationTest, ::testing::ValuesIn(joins()), claim_of);
INSTANTIATE_TEST_SUITE_P(Disorder, FragmentationTest, ::testing::ValuesIn(disorder()), claim_of);

constexpr size_t kMiB = 1u << 20;

/// A node that takes messages of up to 4 MiB.
class SizesTest : public Rfc6455Test {
 protected:
  SizesTest() {
    config_.limits.max_message_bytes = 4 * kMiB;
    config_.limits.max_backlog_bytes = 64 * kMiB;
  }
};
TEST_P(SizesTest, Holds) {
  hold(GetParam());
}

std::vector<Conversation> sizes() {
  std::vector<Conversation> out;
  for (const size_t size : {64u << 10, 256u << 10, 1u << 20, 4u << 20}) {
    const std::string payload = payload_for(size);
    const std::string text = publishing(payload);
    const std::string name = std::to_string(size >> 10) + "KiB";
    out.push_back({"Takes" + name + "InOneFrame", {client_frame(Opcode::kText, text)}, {payload}});
    for (const size_t piece : {64u, 1'300u, 4'096u, 65'536u})
      if (size / piece <= 16'384)
        out.push_back({"Takes" + name + "InFramesOf" + std::to_string(piece),
                       fragments(text, piece),
                       {payload}});
  }
  const std::string most(4 * kMiB, ' ');
  out.push_back(
      {"RefusesAMessageAboveTheLimit", {client_frame(Opcode::kText, most + " ")}, {}, {}, 1009});
  out.push_back({"RefusesALengthAboveTheLimitWithoutThePayload",
                 {bytes({0x82, 0xff, 0, 0, 0, 0, 0, 0x40, 0, 1})},
                 {},
                 {},
                 1009});
  auto pieces = fragments(most, 64u << 10);
  pieces.back() = client_frame(kContinuation, std::string(64u << 10, ' '), false);
  pieces.push_back(client_frame(kContinuation, " ", false));
  out.push_back({"RefusesTheFragmentThatGoesAboveTheLimit", pieces, {}, {}, 1009});
  return out;
}

INSTANTIATE_TEST_SUITE_P(Sizes, SizesTest, ::testing::ValuesIn(sizes()), claim_of);

}  // namespace
}  // namespace raymesh::realtime
