#include "libs/config/options.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <utility>

namespace raymesh::config {
namespace {

using std::chrono::milliseconds;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

struct Settings {
  std::string log_level = "info";
  std::string listen = "127.0.0.1:5002";
  std::string password;
  bool verify = false;
  int64_t pool = 4;
  double ratio = 0.5;
  milliseconds timeout{5'000};
  uint64_t limit = 1 << 20;
  std::vector<std::string> peers{"a", "b"};
};

class OptionsTest : public testing::Test {
 protected:
  OptionsTest() {
    std::string pattern = (std::filesystem::temp_directory_path() / "raymesh-config-XXXXXX");
    folder_ = mkdtemp(pattern.data());
    options_.section("").choice("log-level", &settings_.log_level, {"info", "debug"},
                                "Which lines");
    options_.section("storage")
        .text("listen", &settings_.listen, "Address")
        .secret("password", &settings_.password, "Of the database")
        .boolean("verify", &settings_.verify, "Checks more")
        .integer("pool", &settings_.pool, 1, 64, "Connections")
        .number("ratio", &settings_.ratio, 0, 1, "Share")
        .duration("timeout", &settings_.timeout, milliseconds(1), milliseconds(60'000), "Patience")
        .bytes("limit", &settings_.limit, 1, 1 << 30, "Largest body")
        .list("peers", &settings_.peers, "Others");
  }
  ~OptionsTest() override { std::filesystem::remove_all(folder_); }

  std::string file(const std::string& name, const std::string& content, mode_t mode = 0600) {
    std::string path = folder_ / name;
    std::ofstream(path) << content;
    chmod(path.c_str(), mode);
    return path;
  }
  Result<std::vector<std::string>> load(std::vector<std::string> arguments,
                                        std::map<std::string, std::string> environment = {}) {
    return options_.load({std::move(arguments), std::move(environment)}, {"storage", "cache"});
  }
  std::string refusal(std::vector<std::string> arguments,
                      std::map<std::string, std::string> environment = {}) {
    auto loaded = load(std::move(arguments), std::move(environment));
    return loaded.ok() ? "(accepted)" : loaded.error().message;
  }
  std::string yaml_refusal(const std::string& yaml) {
    return refusal({"--config", file("c.yaml", yaml)});
  }

  std::filesystem::path folder_;
  Settings settings_;
  Options options_;
};

TEST_F(OptionsTest, DefaultsStandWhenNothingIsSet) {
  ASSERT_TRUE(load({}).ok());
  EXPECT_EQ(settings_.listen, "127.0.0.1:5002");
  EXPECT_EQ(settings_.pool, 4);
}

TEST_F(OptionsTest, FlagsWinOverEnvironmentOverFile) {
  std::string path = file("c.yaml", "storage: {listen: from-file, pool: 7, ratio: 0.25}");
  ASSERT_TRUE(load({"--config", path, "--listen", "from-flag"},
                   {{"RAYMESH_STORAGE_LISTEN", "from-env"}, {"RAYMESH_STORAGE_POOL", "8"}})
                  .ok());
  EXPECT_EQ(settings_.listen, "from-flag");
  EXPECT_EQ(settings_.pool, 8);
  EXPECT_EQ(settings_.ratio, 0.25);
}

TEST_F(OptionsTest, TheConfigFileCanComeFromTheEnvironment) {
  ASSERT_TRUE(load({}, {{"RAYMESH_CONFIG", file("c.yaml", "log-level: debug")}}).ok());
  EXPECT_EQ(settings_.log_level, "debug");
}

TEST_F(OptionsTest, EveryTypeIsReadFromEverySource) {
  std::string path = file("c.yaml",
                          "storage:\n  verify: true\n  timeout: 2s\n  limit: 2KiB\n"
                          "  peers: [x, 'y,z']\n");
  ASSERT_TRUE(load({"--config", path}).ok());
  EXPECT_TRUE(settings_.verify);
  EXPECT_EQ(settings_.timeout, milliseconds(2'000));
  EXPECT_EQ(settings_.limit, 2048u);
  EXPECT_EQ(settings_.peers, (std::vector<std::string>{"x", "y,z"}));
  ASSERT_TRUE(load({"--verify=false", "--peers=p,q", "--ratio=1"}).ok());
  EXPECT_FALSE(settings_.verify);
  EXPECT_EQ(settings_.peers, (std::vector<std::string>{"p", "q"}));
  ASSERT_TRUE(load({"--verify"}).ok());
  EXPECT_TRUE(settings_.verify);
}

TEST_F(OptionsTest, PositionalArgumentsAreReturned) {
  auto loaded = load({"one", "--verify", "two", "--", "--three"});
  ASSERT_TRUE(loaded.ok());
  EXPECT_EQ(*loaded, (std::vector<std::string>{"one", "two", "--three"}));
}

TEST_F(OptionsTest, UnknownKeysAreNamedWithTheNearestOne) {
  EXPECT_THAT(refusal({"--lisen", "x"}), AllOf(HasSubstr("--lisen"), HasSubstr("--listen?")));
  EXPECT_THAT(refusal({}, {{"RAYMESH_STORAGE_POOOL", "1"}}),
              AllOf(HasSubstr("RAYMESH_STORAGE_POOOL"), HasSubstr("RAYMESH_STORAGE_POOL?")));
  EXPECT_THAT(yaml_refusal("log-level: info\nstorage:\n  lissten: x\n"),
              AllOf(HasSubstr("c.yaml:3"), HasSubstr("storage.lissten"), HasSubstr("listen?")));
  EXPECT_THAT(yaml_refusal("loglevel: info"), AllOf(HasSubstr(":1"), HasSubstr("log-level?")));
  EXPECT_THAT(yaml_refusal("\nstorrage: {}"), AllOf(HasSubstr(":2"), HasSubstr("storage?")));
}

TEST_F(OptionsTest, OtherServicesPartsOfASharedFileAreSkipped) {
  std::string path = file("c.yaml", "cache: {anything: 1}\nstorage: {pool: 9}");
  ASSERT_TRUE(load({"--config", path}, {{"RAYMESH_CACHE_WHATEVER", "1"}}).ok());
  EXPECT_EQ(settings_.pool, 9);
}

TEST_F(OptionsTest, BadValuesNameKeyValueSourceAndWhatIsAccepted) {
  EXPECT_THAT(refusal({"--pool", "65"}),
              AllOf(HasSubstr("--pool"), HasSubstr("\"65\""), HasSubstr("from 1 to 64")));
  EXPECT_THAT(refusal({"--timeout=5"}), AllOf(HasSubstr("\"5\""), HasSubstr("10s")));
  EXPECT_THAT(refusal({}, {{"RAYMESH_STORAGE_LIMIT", "1KB"}}),
              AllOf(HasSubstr("RAYMESH_STORAGE_LIMIT"), HasSubstr("\"1KB\""), HasSubstr("16KiB")));
  EXPECT_THAT(yaml_refusal("storage:\n  ratio: 2\n"),
              AllOf(HasSubstr("c.yaml:2: storage.ratio"), HasSubstr("\"2\""), HasSubstr("0 to 1")));
  EXPECT_THAT(refusal({"--log-level", "loud"}),
              AllOf(HasSubstr("\"loud\""), HasSubstr("info, debug")));
  EXPECT_THAT(refusal({"--peers", "a,,b"}), HasSubstr("an item is empty"));
  EXPECT_THAT(refusal({"--pool"}), AllOf(HasSubstr("--pool"), HasSubstr("missing")));
}

TEST_F(OptionsTest, AKeyThatStandsTwiceInOneSourceIsRefused) {
  EXPECT_THAT(refusal({"--pool=1", "--pool=2"}), HasSubstr("set twice"));
  EXPECT_THAT(yaml_refusal("storage:\n  pool: 1\n  pool: 2\n"),
              AllOf(HasSubstr(":3"), HasSubstr("twice")));
}

TEST_F(OptionsTest, FilesThatAreNotAMapOfOptionsAreRefusedWithTheirLine) {
  EXPECT_THAT(yaml_refusal("- a\n- b\n"), HasSubstr("must be a map"));
  EXPECT_THAT(yaml_refusal("storage:\n  pool: {a: 1}\n"), HasSubstr(":2"));
  EXPECT_THAT(yaml_refusal("storage:\n  pool:\n"), HasSubstr("no value"));
  EXPECT_THAT(yaml_refusal("storage:\n  pool: [1, 2]\n"), HasSubstr("a list where one value"));
  EXPECT_THAT(yaml_refusal("storage: [\n"), HasSubstr("not valid YAML"));
  EXPECT_THAT(refusal({"--config", "/nonexistent/x.yaml"}), HasSubstr("/nonexistent/x.yaml"));
  ASSERT_TRUE(load({"--config", file("empty.yaml", "")}).ok());
}

TEST_F(OptionsTest, SecretsComeFromFilesWithoutTheLastLineFeed) {
  ASSERT_TRUE(load({"--password-file", file("pw", "se cret\n\n")}).ok());
  EXPECT_EQ(settings_.password, "se cret\n");
  ASSERT_TRUE(load({}, {{"RAYMESH_STORAGE_PASSWORD_FILE", file("pw", "two")}}).ok());
  EXPECT_EQ(settings_.password, "two");
  std::string yaml = file("c.yaml", "storage: {password-file: " + file("pw", "three") + "}", 0644);
  ASSERT_TRUE(load({"--config", yaml}).ok());
  EXPECT_EQ(settings_.password, "three");
}

TEST_F(OptionsTest, ASecretThatEverybodyMayReadIsRefused) {
  EXPECT_THAT(refusal({"--password-file", file("pw", "x", 0644)}),
              AllOf(HasSubstr("--password-file"), HasSubstr("everybody"), HasSubstr("chmod")));
  std::string yaml = file("c.yaml", "storage: {password: x}", 0644);
  EXPECT_THAT(refusal({"--config", yaml}), HasSubstr("everybody"));
}

TEST_F(OptionsTest, AnEmptyMissingOrHugeSecretFileIsRefused) {
  EXPECT_THAT(refusal({"--password-file", file("pw", "\n")}), HasSubstr("empty"));
  EXPECT_THAT(refusal({"--password-file", "/nonexistent"}), HasSubstr("/nonexistent"));
  EXPECT_THAT(refusal({"--password-file", file("pw", std::string(70'000, 'x'))}),
              HasSubstr("64 KiB"));
  EXPECT_THAT(refusal({"--password-file", folder_}), HasSubstr("not a regular file"));
}

TEST_F(OptionsTest, ASecretAndItsFileAtOnceAreRefused) {
  EXPECT_THAT(refusal({"--password=x", "--password-file", file("pw", "y")}),
              HasSubstr("set twice"));
}

TEST_F(OptionsTest, ASecretListIsReadFromEverySource) {
  std::vector<std::string> keys;
  options_.secret_list("keys", &keys, "That sign");
  const std::vector<std::string> expected = {"k1:one", "k2:two"};
  const std::string lines = file("keys", "k1:one\nk2:two\n");
  ASSERT_TRUE(load({"--keys", "k1:one, k2:two"}).ok());
  EXPECT_EQ(std::exchange(keys, {}), expected);
  ASSERT_TRUE(load({"--keys-file", lines}).ok());
  EXPECT_EQ(std::exchange(keys, {}), expected);
  ASSERT_TRUE(load({}, {{"RAYMESH_STORAGE_KEYS", "k1:one,k2:two"}}).ok());
  EXPECT_EQ(std::exchange(keys, {}), expected);
  ASSERT_TRUE(load({}, {{"RAYMESH_STORAGE_KEYS_FILE", lines}}).ok());
  EXPECT_EQ(std::exchange(keys, {}), expected);
  ASSERT_TRUE(load({"--config", file("a.yaml", "storage: {keys: [\"k1:one\", \"k2:two\"]}")}).ok());
  EXPECT_EQ(std::exchange(keys, {}), expected);
  ASSERT_TRUE(load({"--config", file("b.yaml", "storage: {keys-file: " + lines + "}")}).ok());
  EXPECT_EQ(std::exchange(keys, {}), expected);

  auto refused = load({"--keys-file", file("gap", "k1:one\n\nk2:two\n")});
  ASSERT_FALSE(refused.ok());
  EXPECT_THAT(refused.error().message, AllOf(HasSubstr("empty"), Not(HasSubstr("one"))));
  EXPECT_THAT(options_.help("x", "y"), HasSubstr("--keys-file"));
}

TEST_F(OptionsTest, SecretsAreNeverShown) {
  settings_.password = "hunter2";
  Options options;
  options.section("storage").secret("password", &settings_.password, "Of the database");
  EXPECT_THAT(options.help("raymesh-storage", "x"), Not(HasSubstr("hunter2")));
  EXPECT_THAT(refusal({"--password=hunter2", "--password=hunter2"}), Not(HasSubstr("hunter2")));
}

TEST_F(OptionsTest, KubernetesServiceLinksGetAHint) {
  EXPECT_THAT(refusal({}, {{"RAYMESH_STORAGE_SERVICE_HOST", "10.0.0.1"}}),
              HasSubstr("enableServiceLinks"));
}

TEST_F(OptionsTest, FurtherSectionsHaveTheirNameInTheFlag) {
  std::string cache_listen = "c";
  options_.section("cache").text("listen", &cache_listen, "Address");
  ASSERT_TRUE(load({"--listen=s", "--cache-listen=k"}).ok());
  EXPECT_EQ(settings_.listen, "s");
  EXPECT_EQ(cache_listen, "k");
  ASSERT_TRUE(load({}, {{"RAYMESH_CACHE_LISTEN", "e"}}).ok());
  EXPECT_EQ(cache_listen, "e");
}

TEST_F(OptionsTest, HelpShowsFlagDefaultAndVariableWithin100Columns) {
  std::string help = options_.help("raymesh-storage", "keeps the tables");
  EXPECT_THAT(help, AllOf(HasSubstr("--listen TEXT"), HasSubstr("127.0.0.1:5002"),
                          HasSubstr("RAYMESH_STORAGE_LISTEN"), HasSubstr("RAYMESH_LOG_LEVEL"),
                          HasSubstr("--password-file"), HasSubstr("1MiB"), HasSubstr("5s")));
  std::istringstream lines(help);
  for (std::string line; std::getline(lines, line);) EXPECT_LE(line.size(), 100u) << line;
}

TEST_F(OptionsTest, AsksFindsHelpAndVersionBeforeTheDoubleDash) {
  EXPECT_EQ(Options::asks({{"x", "-h"}, {}}), Options::Ask::kHelp);
  EXPECT_EQ(Options::asks({{"--version"}, {}}), Options::Ask::kVersion);
  EXPECT_EQ(Options::asks({{"--", "--help"}, {}}), Options::Ask::kNothing);
}

}  // namespace
}  // namespace raymesh::config
