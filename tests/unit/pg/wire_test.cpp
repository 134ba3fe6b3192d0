#include "libs/pg/wire.hpp"

#include <gtest/gtest.h>

namespace raymesh::pg {
namespace {

using namespace std::string_literals;  // NOLINT: "..."s with NUL bytes

std::string message(char type, const std::string& body) {
  std::string out(1, type);
  append_u32(out, static_cast<uint32_t>(body.size() + 4));
  return out + body;
}

void feed(MessageReader& reader, std::string_view bytes) {
  auto room = reader.prepare(bytes.size());
  ASSERT_GE(room.size(), bytes.size());
  std::copy(bytes.begin(), bytes.end(), room.begin());
  reader.commit(bytes.size());
}

TEST(WireTest, WritesWhatTheManualShows) {
  Parameters p;
  p.add(23, "7");
  p.add(0, std::nullopt);
  p.add(25, "");
  EXPECT_EQ(p.count(), 3u);
  std::string out;
  append_parse(out, "n", "SELECT 1", p);
  EXPECT_EQ(out, "P\0\0\0\x1dn\0SELECT 1\0\0\x03\0\0\0\x17\0\0\0\0\0\0\0\x19"s);
  out.clear();
  append_bind(out, "n", p);
  EXPECT_EQ(out,
            "B\0\0\0\x1a\0n\0\0\0\0\x03\0\0\0\x01"
            "7\xff\xff\xff\xff\0\0\0\0\0\0"s);
  out.clear();
  append_describe_statement(out, "n");
  append_close_statement(out, "n");
  append_execute(out);
  append_sync(out);
  append_query(out, "x");
  append_terminate(out);
  EXPECT_EQ(
      out,
      "D\0\0\0\x07Sn\0C\0\0\0\x07Sn\0E\0\0\0\x09\0\0\0\0\0S\0\0\0\x04Q\0\0\0\x06x\0X\0\0\0\x04"s);
}

TEST(WireTest, SplitsRows) {
  std::vector<Field> fields;
  const std::string row =
      "\0\x03\0\0\0\x02"
      "ab\xff\xff\xff\xff\0\0\0\0"s;
  ASSERT_TRUE(parse_data_row(row, fields));
  ASSERT_EQ(fields.size(), 3u);
  EXPECT_EQ(fields[0].text(), "ab");
  EXPECT_TRUE(fields[1].is_null());
  EXPECT_FALSE(fields[2].is_null());
  EXPECT_EQ(fields[2].size, 0u);
  EXPECT_FALSE(parse_data_row("", fields));
  EXPECT_FALSE(
      parse_data_row("\0\x01\0\0\0\x05"
                     "ab"s,
                     fields));
  EXPECT_FALSE(
      parse_data_row("\0\x02\0\0\0\x01"
                     "a"s,
                     fields));
  EXPECT_FALSE(
      parse_data_row("\0\x01\x7f\xff\xff\xff"
                     "a"s,
                     fields));
  EXPECT_FALSE(parse_data_row("\0\0x"s, fields)) << "bytes behind the last field";
}

TEST(WireTest, SplitsRowDescriptions) {
  const std::string column = "id\0\0\0\0\x01\0\x02\0\0\0\x17\0\x04\xff\xff\xff\xff\0\0"s;
  std::vector<ResultColumn> columns;
  ASSERT_TRUE(parse_row_description("\0\x01"s + column, columns));
  ASSERT_EQ(columns.size(), 1u);
  EXPECT_EQ(columns[0].name, "id");
  EXPECT_EQ(columns[0].type_oid, 23u);
  for (size_t cut = 0; cut < column.size(); ++cut) {
    EXPECT_FALSE(parse_row_description("\0\x01"s + column.substr(0, cut), columns)) << cut;
  }
  EXPECT_FALSE(parse_row_description("\0\x01"s + column + "x", columns));
}

TEST(WireTest, ReadsErrors) {
  const ServerError e =
      parse_error("SFEHLER\0VERROR\0C23505\0Mduplicate\0DKey (a)=(1)\0ca\0nuq\0Fx.c\0L1\0\0"s);
  EXPECT_EQ(e.severity, "ERROR");
  EXPECT_EQ(e.sqlstate, "23505");
  EXPECT_EQ(e.message, "duplicate");
  EXPECT_EQ(e.detail, "Key (a)=(1)");
  EXPECT_EQ(e.column, "a");
  EXPECT_EQ(e.constraint, "uq");
  EXPECT_FALSE(e.is_fatal());
  EXPECT_TRUE(parse_error("VFATAL\0"s).is_fatal());
  EXPECT_EQ(parse_error("Mno end").message, "no end");
  EXPECT_EQ(parse_error("").message, "");
}

TEST(WireTest, CountsAffectedRows) {
  EXPECT_EQ(parse_affected("INSERT 0 12"), 12u);
  EXPECT_EQ(parse_affected("UPDATE 3"), 3u);
  EXPECT_EQ(parse_affected("CREATE TABLE"), 0u);
  EXPECT_EQ(parse_affected(""), 0u);
}

TEST(MessageReaderTest, FramesHoweverTheBytesArrive) {
  const std::string stream = message('C', "SELECT 1") + message('Z', "I") + message('D', "");
  for (size_t step = 1; step <= stream.size(); ++step) {
    MessageReader reader(100);
    std::string seen;
    for (size_t at = 0; at < stream.size(); at += step) {
      feed(reader, std::string_view(stream).substr(at, step));
      MessageReader::Message m;
      while (reader.next(m) == MessageReader::Next::kMessage) {
        seen += m.type;
        seen += m.body;
        seen += ';';
      }
    }
    EXPECT_EQ(seen, "CSELECT 1;ZI;D;") << step;
  }
}

TEST(MessageReaderTest, SkipsWhatIsTooLongWithoutKeepingIt) {
  MessageReader reader(10);
  const std::string stream = message('D', std::string(1000, 'x')) + message('Z', "I");
  std::string seen;
  for (char c : stream) {
    feed(reader, std::string_view(&c, 1));
    MessageReader::Message m;
    while (reader.next(m) == MessageReader::Next::kMessage) {
      seen += m.type;
      seen += m.oversized ? '!' : '.';
    }
  }
  EXPECT_EQ(seen, "D!Z.");
}

TEST(MessageReaderTest, RefusesImpossibleLengths) {
  for (const std::string& bytes : {"Z\0\0\0\3"s, "Z\xff\xff\xff\xff"s}) {
    MessageReader reader(10);
    feed(reader, bytes);
    MessageReader::Message m;
    EXPECT_EQ(reader.next(m), MessageReader::Next::kMalformed);
  }
}

}  // namespace
}  // namespace raymesh::pg
