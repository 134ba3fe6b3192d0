#include "libs/base/error_codes.hpp"

#include <gtest/gtest.h>

#include <array>
#include <fstream>
#include <set>
#include <sstream>
#include <string>
#include <vector>

namespace raymesh {
namespace {

constexpr std::array<std::string_view, 17> kGrpcNames = {
    "OK",        "CANCELLED",      "UNKNOWN",           "INVALID_ARGUMENT",   "DEADLINE_EXCEEDED",
    "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION",
    "ABORTED",   "OUT_OF_RANGE",   "UNIMPLEMENTED",     "INTERNAL",           "UNAVAILABLE",
    "DATA_LOSS", "UNAUTHENTICATED"};

/// The cells of a row "| a | b |".
std::vector<std::string> cells(const std::string& line) {
  std::vector<std::string> out;
  size_t begin = 2;
  for (size_t end; (end = line.find(" |", begin)) != std::string::npos; begin = end + 3)
    out.push_back(line.substr(begin, end - begin));
  return out;
}

TEST(ErrorCodesTest, EveryCodeStandsOnce) {
  std::set<std::string_view> seen;
  for (const ErrorKind& kind : errors::all())
    EXPECT_TRUE(seen.insert(kind.code).second) << kind.code << " stands twice";
}

TEST(ErrorCodesTest, FindsEachRowByItsCodeAndNothingElse) {
  for (const ErrorKind& kind : errors::all()) {
    const ErrorKind* found = errors::find(kind.code);
    ASSERT_NE(found, nullptr) << kind.code;
    EXPECT_EQ(found->code, kind.code);
  }
  EXPECT_EQ(errors::find("no_such_code"), nullptr);
  EXPECT_EQ(errors::find(""), nullptr);
}

TEST(ErrorCodesTest, EveryRowIsAnErrorInBothProtocols) {
  for (const ErrorKind& kind : errors::all()) {
    EXPECT_NE(kind.status, StatusCode::kOk) << kind.code;
    EXPECT_GE(kind.http_status, 400) << kind.code;
    EXPECT_LT(kind.http_status, 600) << kind.code;
    EXPECT_FALSE(kind.meaning.empty()) << kind.code;
    EXPECT_NE(kind.meaning.back(), '.') << kind.code << ": meanings have no full stop";
  }
}

TEST(ErrorCodesTest, OnlyRetryableStatusesAreServerErrors) {
  for (const ErrorKind& kind : errors::all()) {
    if (kind.http_status == 503 || kind.http_status == 504) {
      EXPECT_TRUE(kind.status == StatusCode::kUnavailable ||
                  kind.status == StatusCode::kResourceExhausted ||
                  kind.status == StatusCode::kDeadlineExceeded ||
                  kind.status == StatusCode::kAborted)
          << kind.code;
    }
  }
}

TEST(ErrorCodesTest, TheDocumentShowsTheSameTable) {
  std::ifstream file(RAYMESH_SOURCE_DIR "/docs/errors.md");
  ASSERT_TRUE(file) << "docs/errors.md is missing";
  std::stringstream text;
  text << file.rdbuf();
  std::set<std::string> documented;
  for (std::string line; std::getline(text, line);) {
    if (!line.starts_with("| `")) continue;
    std::vector<std::string> row = cells(line);
    ASSERT_EQ(row.size(), 5u) << line;
    std::string code = row[0].substr(1, row[0].size() - 2);  // without its backquotes
    const ErrorKind* kind = errors::find(code);
    ASSERT_NE(kind, nullptr) << "docs/errors.md has a code that the table has not: " << line;
    EXPECT_EQ(row[1], std::to_string(kind->http_status)) << line;
    EXPECT_EQ(row[2], kGrpcNames[static_cast<size_t>(kind->status)]) << line;
    EXPECT_EQ(row[3], kind->meaning) << line;
    EXPECT_FALSE(row[4].empty()) << "says not what to do: " << line;
    EXPECT_TRUE(documented.insert(code).second) << "twice: " << line;
  }
  for (const ErrorKind& kind : errors::all()) {
    EXPECT_TRUE(documented.contains(std::string(kind.code)))
        << "docs/errors.md lacks the row\n| `" << kind.code << "` | " << kind.http_status << " | "
        << kGrpcNames[static_cast<size_t>(kind.status)] << " | " << kind.meaning
        << " | what to do |";
  }
}

}  // namespace
}  // namespace raymesh
