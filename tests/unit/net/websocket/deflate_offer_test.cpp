#include "libs/net/websocket/deflate_offer.hpp"

#include <gtest/gtest.h>

#include <string>

namespace raymesh::net::websocket {
namespace {

constexpr std::string_view kPlain =
    "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
constexpr std::string_view kWindow =
    "permessage-deflate; server_no_context_takeover; client_no_context_takeover; "
    "server_max_window_bits=15";

void expect_answer(std::string_view offers, std::string_view answer) {
  const auto got = answer_deflate(offers);
  EXPECT_EQ(got.decision, DeflateDecision::kAccepted) << offers;
  EXPECT_EQ(got.answer, answer) << offers;
}

void expect_declined(std::string_view offers) {
  const auto got = answer_deflate(offers);
  EXPECT_EQ(got.decision, DeflateDecision::kDeclined) << offers;
  EXPECT_EQ(got.answer, "") << offers;
}

void expect_malformed(std::string_view offers) {
  const auto got = answer_deflate(offers);
  EXPECT_EQ(got.decision, DeflateDecision::kMalformed) << offers;
  EXPECT_EQ(got.answer, "") << offers;
}

TEST(DeflateOfferTest, AcceptsWhatBrowsersAndLibrariesOffer) {
  expect_answer("permessage-deflate", kPlain);
  expect_answer("permessage-deflate; client_max_window_bits", kPlain);
  expect_answer("permessage-deflate;client_max_window_bits=15", kPlain);
  expect_answer("permessage-deflate; client_no_context_takeover; server_no_context_takeover",
                kPlain);
  expect_answer(
      "permessage-deflate; client_no_context_takeover; server_no_context_takeover; "
      "server_max_window_bits=15; client_max_window_bits=8",
      kWindow);
  // RFC 7692 section 7.1.3's first two examples.
  expect_answer(
      "permessage-deflate; client_max_window_bits; server_max_window_bits=10, "
      "permessage-deflate; client_max_window_bits",
      kPlain);
}

// Section 7.1.2.2: only when it was offered, and this server has no use for it.
TEST(DeflateOfferTest, NeverLimitsTheClientsWindow) {
  for (const std::string value : {"", "=8", "=9", "=10", "=11", "=12", "=13", "=14", "=15"})
    expect_answer("permessage-deflate; client_max_window_bits" + value, kPlain);
}

TEST(DeflateOfferTest, DeclinesASmallerWindowAndLooksAtTheNextOffer) {
  for (int bits = 8; bits < 15; ++bits)
    expect_declined("permessage-deflate; server_max_window_bits=" + std::to_string(bits));
  expect_answer("permessage-deflate; server_max_window_bits=15", kWindow);
  expect_answer("permessage-deflate; server_max_window_bits=9, permessage-deflate", kPlain);
  expect_answer(
      "permessage-deflate; server_max_window_bits=9, permessage-deflate; "
      "server_max_window_bits=15, permessage-deflate",
      kWindow);
}

TEST(DeflateOfferTest, DeclinesAnOfferWithAParameterThatIsNotAllowed) {
  for (const std::string parameter :
       {"unknown", "unknown=1", "server_no_context_takeover=1", "client_no_context_takeover=true",
        "server_max_window_bits", "server_max_window_bits=7", "server_max_window_bits=16",
        "server_max_window_bits=015", "server_max_window_bits=1", "server_max_window_bits=150",
        "server_max_window_bits=x", "server_max_window_bits=+15", "client_max_window_bits=7",
        "client_max_window_bits=16", "client_max_window_bits=08", "client_max_window_bits=a",
        "Server_No_Context_Takeover"}) {
    expect_declined("permessage-deflate; " + parameter);
    expect_declined("permessage-deflate; client_max_window_bits=10; " + parameter);
    expect_answer("permessage-deflate; " + parameter + ", permessage-deflate", kPlain);
  }
}

TEST(DeflateOfferTest, DeclinesAnOfferWithAParameterTwice) {
  for (const std::string p : {"server_no_context_takeover", "client_no_context_takeover",
                              "server_max_window_bits=15", "client_max_window_bits"})
    expect_declined("permessage-deflate; " + p + "; " + p);
  expect_declined("permessage-deflate; client_max_window_bits=8; client_max_window_bits=9");
}

TEST(DeflateOfferTest, DeclinesWhatItDoesNotKnow) {
  expect_declined("");
  expect_declined(" , ,, ");
  expect_declined("x-webkit-deflate-frame");
  expect_declined("permessage-bzip2; level=9, foo, bar; baz=\"qux\"");
  expect_declined("Permessage-Deflate");
  expect_declined("permessage-deflate2");
  expect_answer("foo; a=1; b, , permessage-deflate, bar", kPlain);
}

TEST(DeflateOfferTest, ReadsQuotedValues) {
  expect_answer("permessage-deflate; server_max_window_bits=\"15\"", kWindow);
  expect_answer("permessage-deflate; server_max_window_bits = \"1\\5\" ", kWindow);
  expect_declined("permessage-deflate; server_max_window_bits=\"10\"");
  expect_answer("\tpermessage-deflate\t;client_max_window_bits\t=\t\"12\"\t", kPlain);
}

TEST(DeflateOfferTest, RefusesWhatBreaksTheGrammarWhateverStandsBeside) {
  for (const std::string bad :
       {";",        "=",          "a;",        "a;;b",         "a; =1",        "a; b=",
        "a; b==1",  "a b",        "a; b c",    "a; b=1 2",     "\"a\"",        "a; b=\"",
        "a; b=\"1", "a; b=\"1\\", "a; b=\"\"", "a; b=\"1 2\"", "a; b=\"1,2\"", "a/b",
        "a; b=(1)", "a; \"b\"=1", "a=1",       "\xc3\xa4",     "a; b=\x7f"}) {
    expect_malformed(bad);
    expect_malformed("permessage-deflate, " + bad);
    expect_malformed(bad + ", permessage-deflate");
  }
  expect_malformed(std::string_view("permessage-deflate\0", 19));
}

TEST(DeflateOfferTest, TakesTheTimeOfOneLookAtALongHeader) {
  std::string many;
  for (int i = 0; i < 2'000; ++i) many += "permessage-deflate; server_max_window_bits=9, ";
  expect_declined(many);
  expect_answer(many + "permessage-deflate", kPlain);
}

}  // namespace
}  // namespace raymesh::net::websocket
