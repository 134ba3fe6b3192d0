// Operations of the database API from request to JSON.
#include <gtest/gtest.h>

#include "tests/db/storage/storage_harness.hpp"

namespace raymesh::testing {
namespace {

class ExecutorTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    project_ = TestProject::create("exec");
    project_.execute(
        "CREATE TABLE todos (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, title text NOT NULL,"
        " done bool NOT NULL DEFAULT false, owner text UNIQUE);"
        "CREATE TABLE noid (a int, b text)");
  }
  static inline TestProject project_;
  StorageHarness storage_;
};

TEST_F(ExecutorTest, InsertsAndFinds) {
  EXPECT_EQ(storage_.text(project_, "insert", "todos", R"({"data":{"title":"a \"b\""}})"),
            R"({"id":1})");
  EXPECT_EQ(storage_.text(project_, "findFirst", "todos", R"({"where":{"id":1}})"),
            R"({"id":1,"title":"a \"b\"","done":false,"owner":null})");
  EXPECT_EQ(storage_.text(project_, "find", "todos", R"({"select":["title"]})"),
            R"([{"title":"a \"b\""}])");
  EXPECT_EQ(storage_.text(project_, "find", "todos", R"({"where":{"id":99}})"), "[]");
  EXPECT_EQ(storage_.text(project_, "findOne", "todos", R"({"where":{"id":99}})"), "null");
  EXPECT_EQ(storage_.text(project_, "count", "todos"), "1");
  EXPECT_EQ(
      storage_.text(project_, "update", "todos", R"({"where":{"id":1},"data":{"done":true}})"),
      R"({"count":1})");
  EXPECT_EQ(storage_.text(project_, "delete", "todos", R"({"where":{"id":1}})"), R"({"count":1})");
  EXPECT_EQ(storage_.text(project_, "delete", "todos", R"({"where":{"id":1}})"), R"({"count":0})");
  EXPECT_EQ(storage_.text(project_, "insert", "noid", R"({"data":{"a":1,"b":"x"}})"),
            R"({"id":{"a":1,"b":"x"}})");
}

TEST_F(ExecutorTest, NamesWhatIsWrong) {
  EXPECT_EQ(storage_.code(project_, "find", "nothing"), "unknown_table");
  EXPECT_EQ(storage_.code(project_, "find", "todos", R"({"where":{"x":1}})"), "unknown_column");
  EXPECT_EQ(storage_.code(project_, "sing", "todos"), "invalid_operation");
  EXPECT_EQ(storage_.code(project_, "find", std::string("a\0b", 3)), "invalid_identifier");
  EXPECT_EQ(storage_.code(project_, "find", "todos", "[]"), "invalid_request");
  EXPECT_EQ(storage_.code(project_, "delete", "todos", "{}"), "condition_required");
  EXPECT_EQ(storage_.code(project_, "insert", "todos", R"({"data":{"owner":"x"}})"),
            "not_null_violation");
  EXPECT_EQ(storage_.code(project_, "insert", "todos", R"({"data":{"title":"x","owner":"o"}})"),
            "ok");
  EXPECT_EQ(storage_.text(project_, "insert", "todos", R"({"data":{"title":"x","owner":"o"}})"),
            "unique_violation: duplicate key value violates unique constraint \"todos_owner_key\" "
            "(Key (owner)=(o) already exists.)");
  EXPECT_EQ(storage_.code(project_, "find", "todos", R"({"where":{"id":"abc"}})"), "invalid_value");
}

}  // namespace
}  // namespace raymesh::testing
