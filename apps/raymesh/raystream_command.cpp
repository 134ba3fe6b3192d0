// `raymesh raystream key create|show|rotate`: the keys by which raystream clients know the gateways
// and, with --state, those that the stored state of sessions is encrypted with. Works on files
// alone; every gateway gets the same ones as --raystream-keys-file and --raystream-state-keys-file.
#include <algorithm>
#include <filesystem>

#include "apps/raymesh/commands.hpp"
#include "apps/raymesh/data_dir.hpp"
#include "libs/base/encoding.hpp"
#include "libs/base/json_writer.hpp"
#include "libs/raystream/server_keys.hpp"
#include "libs/raystream/state_keys.hpp"

namespace raymesh::cli {
namespace {

std::string id_of(const std::string& pair) {
  return pair.substr(0, pair.find(':'));
}

// Refuses what a gateway would refuse.
Status check_pairs(bool state, const std::vector<std::string>& pairs) {
  if (state) {
    RAYMESH_TRY(auto keys, raystream::StateKeys::parse(pairs));
  } else {
    RAYMESH_TRY(auto keys, raystream::ServerKeys::parse(pairs));
  }
  return ok_status();
}

std::string generate(bool state, const std::string& id) {
  return state ? raystream::StateKeys::generate(id) : raystream::ServerKeys::generate(id);
}

Result<std::vector<std::string>> read_pairs(bool state, const std::string& file) {
  RAYMESH_TRY(auto text, read_small_file(file));
  if (!text) return usage_error("there is no file " + file);
  std::vector<std::string> pairs;
  size_t start = 0;
  while (start < text->size()) {
    const size_t end = std::min(text->find_first_of(",\n", start), text->size());
    if (end > start) pairs.push_back(text->substr(start, end - start));
    start = end + 1;
  }
  RAYMESH_CHECK_OK(check_pairs(state, pairs));
  return pairs;
}

Status write_pairs(bool state, const std::string& file, const std::vector<std::string>& pairs) {
  RAYMESH_CHECK_OK(check_pairs(state, pairs));
  std::string text;
  for (const std::string& pair : pairs) text += pair + '\n';
  return write_private_file(file, text);
}

std::string public_key(const std::string& pair) {
  const auto keys = raystream::ServerKeys::parse(std::vector<std::string>{pair});
  const auto& bytes = keys->keys().front().key.public_key();
  return base64url_encode({bytes.data(), bytes.size()});
}

// `pairs` have been checked. Of a state key there is nothing to be shown but its name.
Status show(bool state, const std::vector<std::string>& pairs, Output& output) {
  const char* what = state ? "encrypts" : "signs";
  std::vector<std::vector<std::string>> rows;
  if (state)
    rows.push_back({"ID", ""});
  else
    rows.push_back({"ID", "PUBLIC KEY", ""});
  std::string text = "[";
  for (const std::string& pair : pairs) {
    const bool first = text.size() == 1;
    std::vector<std::string> row = {id_of(pair)};
    if (!first) text += ',';
    json::Object o(text);
    o.string("id", row.front());
    if (!state) {
      row.push_back(public_key(pair));
      o.string("publicKey", row.back());
    }
    o.boolean(what, first);
    o.end();
    row.emplace_back(first ? what : "");
    rows.push_back(std::move(row));
  }
  if (output.json)
    output.out << text << "]\n";
  else
    print_table(output.out, rows);
  return ok_status();
}

constexpr char kStateHelp[] = "keys that encrypt the stored state of sessions, not those that sign";

int create_key(Invocation& invocation) {
  std::string id;
  bool state = false;
  config::Options options;
  options.section("")
      .text("id", &id, "the key's name: 1 to 32 of A-Z a-z 0-9 . _ - (s1, with --state e1)")
      .boolean("state", &state, kStateHelp);
  return run_command(
      invocation,
      {"raystream key create", "<file>",
       "Writes a new signing key (--state: state key) to a file that is not there yet.", 1},
      options, [&](const auto& positionals, Output& output) -> Status {
        const std::string& file = positionals.front();
        if (id.empty()) id = state ? "e1" : "s1";
        if (!raystream::is_server_key_id(id)) return usage_error("--id " + id + " is no key id");
        std::error_code ec;
        if (std::filesystem::exists(file, ec))
          return usage_error(file + " exists already; `raymesh raystream key rotate` changes it");
        const std::vector<std::string> pairs = {generate(state, id)};
        RAYMESH_CHECK_OK(write_pairs(state, file, pairs));
        return show(state, pairs, output);
      });
}

int show_keys(Invocation& invocation) {
  bool state = false;
  config::Options options;
  options.section("").boolean("state", &state, kStateHelp);
  return run_command(invocation,
                     {"raystream key show", "<file>",
                      "Shows the ids and public keys of a file, for clients to pin.", 1},
                     options, [&](const auto& positionals, Output& output) -> Status {
                       RAYMESH_TRY(auto pairs, read_pairs(state, positionals.front()));
                       return show(state, pairs, output);
                     });
}

int rotate_keys(Invocation& invocation) {
  std::string add, first, encrypt_with, remove;
  bool state = false;
  config::Options options;
  options.section("")
      .text("add", &add, "first: adds a new key of this id, which signs or encrypts nothing yet")
      .text("sign-with", &first, "second, when clients have pinned it: it signs from now on")
      .text("encrypt-with", &encrypt_with,
            "second, with --state, when all gateways have it: it encrypts from now on")
      .text("remove", &remove,
            "third: the old key goes (with --state after a few minutes: sessions that live are "
            "written anew by then, the others can't be resumed)")
      .boolean("state", &state, kStateHelp);
  return run_command(
      invocation,
      {"raystream key rotate", "<file>",
       "Changes the keys in a file in three steps, each followed by a restart of all\n"
       "gateways with it: --add, --sign-with (--state: --encrypt-with), --remove.",
       1},
      options, [&](const auto& positionals, Output& output) -> Status {
        const std::string& file = positionals.front();
        if ((state ? first : encrypt_with).size() > 0)
          return usage_error("--sign-with is for signing keys, --encrypt-with for --state");
        if (state) first = encrypt_with;
        if ((add.empty() ? 0 : 1) + (first.empty() ? 0 : 1) + (remove.empty() ? 0 : 1) != 1)
          return usage_error(state ? "give one of --add, --encrypt-with and --remove"
                                   : "give one of --add, --sign-with and --remove");
        RAYMESH_TRY(auto pairs, read_pairs(state, file));
        const std::string& id = !first.empty() ? first : remove;
        const auto found = std::find_if(pairs.begin(), pairs.end(),
                                        [&](const std::string& pair) { return id_of(pair) == id; });
        if (!add.empty()) {
          if (!raystream::is_server_key_id(add))
            return usage_error("--add " + add + " is no key id");
          pairs.push_back(generate(state, add));
        } else if (found == pairs.end()) {
          return usage_error("there is no key " + id + " in " + file);
        } else if (!first.empty()) {
          std::rotate(pairs.begin(), found, found + 1);
        } else if (found == pairs.begin()) {
          return usage_error("the key " + id + (state ? " encrypts" : " signs") +
                             ": let another one come first (--" + (state ? "encrypt" : "sign") +
                             "-with)");
        } else {
          pairs.erase(found);
        }
        RAYMESH_CHECK_OK(write_pairs(state, file, pairs));
        return show(state, pairs, output);
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
