// `raymesh raystream key create|show|rotate`: the keys by which raystream clients know the
// gateways. Works on files alone; every gateway gets the same one as --raystream-keys-file.
#include <algorithm>
#include <filesystem>

#include "apps/raymesh/commands.hpp"
#include "apps/raymesh/data_dir.hpp"
#include "libs/base/encoding.hpp"
#include "libs/base/json_writer.hpp"
#include "libs/raystream/server_keys.hpp"

namespace raymesh::cli {
namespace {

std::string id_of(const std::string& pair) {
  return pair.substr(0, pair.find(':'));
}

Result<std::vector<std::string>> read_pairs(const std::string& file) {
  RAYMESH_TRY(auto text, read_small_file(file));
  if (!text) return usage_error("there is no file " + file);
  std::vector<std::string> pairs;
  size_t start = 0;
  while (start < text->size()) {
    const size_t end = std::min(text->find_first_of(",\n", start), text->size());
    if (end > start) pairs.push_back(text->substr(start, end - start));
    start = end + 1;
  }
  // Refuses what a gateway would refuse.
  RAYMESH_CHECK_OK(raystream::ServerKeys::parse(pairs));
  return pairs;
}

Status write_pairs(const std::string& file, const std::vector<std::string>& pairs) {
  RAYMESH_CHECK_OK(raystream::ServerKeys::parse(pairs));
  std::string text;
  for (const std::string& pair : pairs) text += pair + '\n';
  return write_private_file(file, text);
}

Status show(const std::vector<std::string>& pairs, Output& output) {
  RAYMESH_TRY(auto keys, raystream::ServerKeys::parse(pairs));
  std::vector<std::vector<std::string>> rows = {{"ID", "PUBLIC KEY", ""}};
  std::string text = "[";
  for (const raystream::ServerKey& key : keys.keys()) {
    const auto& bytes = key.key.public_key();
    const std::string public_key = base64url_encode({bytes.data(), bytes.size()});
    const bool signs = text.size() == 1;
    rows.push_back({key.id, public_key, signs ? "signs" : ""});
    if (!signs) text += ',';
    json::Object o(text);
    o.string("id", key.id);
    o.string("publicKey", public_key);
    o.boolean("signs", signs);
    o.end();
  }
  if (output.json)
    output.out << text << "]\n";
  else
    print_table(output.out, rows);
  return ok_status();
}

int create_key(Invocation& invocation) {
  std::string id = "s1";
  config::Options options;
  options.section("").text("id", &id, "the key's name: 1 to 32 of A-Z a-z 0-9 . _ -");
  return run_command(
      invocation,
      {"raystream key create", "<file>",
       "Writes a new signing key to a file that is not there yet.", 1},
      options, [&](const auto& positionals, Output& output) -> Status {
        const std::string& file = positionals.front();
        if (!raystream::is_server_key_id(id)) return usage_error("--id " + id + " is no key id");
        std::error_code ec;
        if (std::filesystem::exists(file, ec))
          return usage_error(file + " exists already; `raymesh raystream key rotate` changes it");
        const std::vector<std::string> pairs = {raystream::ServerKeys::generate(id)};
        RAYMESH_CHECK_OK(write_pairs(file, pairs));
        return show(pairs, output);
      });
}

int show_keys(Invocation& invocation) {
  config::Options options;
  return run_command(invocation,
                     {"raystream key show", "<file>",
                      "Shows the ids and public keys of a file, for clients to pin.", 1},
                     options, [&](const auto& positionals, Output& output) -> Status {
                       RAYMESH_TRY(auto pairs, read_pairs(positionals.front()));
                       return show(pairs, output);
                     });
}

int rotate_keys(Invocation& invocation) {
  std::string add, sign_with, remove;
  config::Options options;
  options.section("")
      .text("add", &add, "first: adds a new key of this id, which signs nothing yet")
      .text("sign-with", &sign_with, "second, when clients have pinned it: it signs from now on")
      .text("remove", &remove, "third: the old key goes");
  return run_command(
      invocation,
      {"raystream key rotate", "<file>",
       "Changes the signing keys in a file in three steps, each followed by a restart of all\n"
       "gateways with it: --add, --sign-with, --remove.",
       1},
      options, [&](const auto& positionals, Output& output) -> Status {
        const std::string& file = positionals.front();
        if ((add.empty() ? 0 : 1) + (sign_with.empty() ? 0 : 1) + (remove.empty() ? 0 : 1) != 1)
          return usage_error("give one of --add, --sign-with and --remove");
        RAYMESH_TRY(auto pairs, read_pairs(file));
        const std::string& id = !sign_with.empty() ? sign_with : remove;
        const auto found = std::find_if(pairs.begin(), pairs.end(),
                                        [&](const std::string& pair) { return id_of(pair) == id; });
        if (!add.empty()) {
          if (!raystream::is_server_key_id(add))
            return usage_error("--add " + add + " is no key id");
          pairs.push_back(raystream::ServerKeys::generate(add));
        } else if (found == pairs.end()) {
          return usage_error("there is no key " + id + " in " + file);
        } else if (!sign_with.empty()) {
          std::rotate(pairs.begin(), found, found + 1);
        } else if (found == pairs.begin()) {
          return usage_error("the key " + id + " signs: let another one sign first (--sign-with)");
        } else {
          pairs.erase(found);
        }
        RAYMESH_CHECK_OK(write_pairs(file, pairs));
        return show(pairs, output);
      });
}

int key_group(Invocation& invocation) {
  return run_group(invocation, "raystream key",
                   {{"create", "make a key", create_key},
                    {"show", "show public keys", show_keys},
                    {"rotate", "change keys step by step", rotate_keys}});
}

}  // namespace

int raystream_command(Invocation& invocation) {
  return run_group(invocation, "raystream", {{"key", "create, show and rotate keys", key_group}});
}

}  // namespace raymesh::cli
