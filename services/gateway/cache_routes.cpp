// /api/v1/cache/<operation>/<key>: the key is the rest of the path, percent-encoded, and may hold
// slashes.
#include <charconv>

#include "libs/base/encoding.hpp"
#include "libs/base/json_writer.hpp"
#include "raymesh/cache/v1/cache.pb.h"
#include "services/gateway/core.hpp"
#include "services/gateway/edge_rules.hpp"
#include "services/gateway/exchange.hpp"
#include "services/gateway/request_body.hpp"
#include "services/gateway/routes.hpp"

namespace raymesh::gateway {
namespace {

// The key of the path; on failure the answer is given.
std::optional<std::string> key_of(Exchange& ex) {
  auto key = percent_decode(ex.rest());
  if (!key) {
    ex.fail(Error(errors::kInvalidRequest, "the key is not percent-encoded correctly"));
    return std::nullopt;
  }
  if (key->empty()) {
    ex.fail(Error(errors::kInvalidRequest, "key is required"));
    return std::nullopt;
  }
  return key;
}

void ask(Exchange& ex, std::string_view method, const google::protobuf::MessageLite& request,
         rpc::Repeat repeat, Exchange::Next next) {
  ex.call(*ex.core().peers.cache, method, request.SerializeAsString(), ex.options(repeat), next);
}

void ask_for_key(Exchange& ex, std::string_view method, rpc::Repeat repeat, Exchange::Next next) {
  auto key = key_of(ex);
  if (!key) return;
  cache::v1::KeyRequest request;
  request.set_key(std::move(*key));
  ask(ex, method, request, repeat, next);
}

void reply_boolean(Exchange& ex, std::string_view name, bool value) {
  std::string out;
  json::Object o(out);
  o.boolean(name, value);
  o.end();
  ex.reply(200, out);
}

void on_value(Exchange& ex, Result<std::string> result) {
  cache::v1::ValueReply reply;
  if (!ex.take(result, reply)) return;
  if (!reply.found()) return ex.fail(Error(errors::kNotFound, "Not found"));
  std::string json = std::move(*reply.mutable_json());
  const std::string_view view = json;
  ex.reply_around("{\"value\":", std::move(json), view, "}");
}

void get(Exchange& ex) {
  ask_for_key(ex, "Get", rpc::Repeat::kSafe, on_value);
}

void get_hash(Exchange& ex) {
  ask_for_key(ex, "HashGetAll", rpc::Repeat::kSafe, on_value);
}

void erase(Exchange& ex) {
  ask_for_key(ex, "Delete", rpc::Repeat::kNever, [](Exchange& e, Result<std::string> result) {
    cache::v1::BoolReply reply;
    if (e.take(result, reply)) reply_boolean(e, "deleted", reply.value());
  });
}

void set(Exchange& ex) {
  auto key = key_of(ex);
  if (!key) return;
  cache::v1::SetRequest request;
  const std::string_view body = ex.body().empty() ? std::string_view("null") : ex.body();
  if (!parse_json(body, kBodyRules))
    return ex.fail(Error(errors::kInvalidJson, "The body is not well-formed JSON"));
  request.set_json(body.data(), body.size());
  if (const std::string_view text = query_value(ex.query(), "ttl"); !text.empty()) {
    double ttl = 0;
    auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), ttl);
    if (ec != std::errc() || end != text.data() + text.size() || !(ttl >= 0))
      return ex.fail(
          Error(errors::kInvalidRequest, "ttl must be a number of seconds, not negative"));
    request.set_ttl_seconds(whole_seconds(ttl));
  }
  request.set_only_if_absent(query_value(ex.query(), "nx") == "true");
  request.set_key(std::move(*key));
  ask(ex, "Set", request, rpc::Repeat::kNever, [](Exchange& e, Result<std::string> result) {
    cache::v1::SetReply reply;
    if (e.take(result, reply)) reply_boolean(e, "set", reply.set());
  });
}

void expire(Exchange& ex) {
  auto key = key_of(ex);
  if (!key) return;
  Member members[] = {{"ttl"}};
  if (auto read = read_members(ex.body(), members); !read.ok()) return ex.fail(read.error());
  cache::v1::ExpireRequest request;
  if (!members[0].is_missing_or_null()) {
    const auto ttl = number_of(members[0]);
    if (!ttl)
      return ex.fail(Error(errors::kInvalidRequest, "ttl must be a number of seconds or null"));
    request.set_ttl_seconds(whole_seconds(*ttl));
  }
  request.set_key(std::move(*key));
  ask(ex, "Expire", request, rpc::Repeat::kNever, [](Exchange& e, Result<std::string> result) {
    cache::v1::BoolReply reply;
    if (e.take(result, reply)) reply_boolean(e, "applied", reply.value());
  });
}

void reply_count(Exchange& ex, const Result<std::string>& result, std::string_view name) {
  cache::v1::CountReply reply;
  if (!ex.take(result, reply)) return;
  std::string out;
  json::Object o(out);
  json::append_uint(o.key(name), reply.count());
  o.end();
  ex.reply(200, out);
}

void set_hash(Exchange& ex) {
  auto key = key_of(ex);
  if (!key) return;
  Member members[] = {{"fields"}};
  if (auto read = read_members(ex.body(), members); !read.ok()) return ex.fail(read.error());
  if (!members[0].is(JsonKind::kObject))
    return ex.fail(Error(errors::kInvalidRequest, "fields is required"));
  cache::v1::HashSetRequest request;
  std::string scratch;
  for (JsonMembers fields(*members[0].value); fields.next();)
    (*request.mutable_fields())[std::string(fields.key(scratch))] =
        std::string(fields.value().raw());
  if (request.fields().empty()) return ex.reply(200, R"({"written":0})");
  request.set_key(std::move(*key));
  ask(ex, "HashSet", request, rpc::Repeat::kNever,
      [](Exchange& e, Result<std::string> result) { reply_count(e, result, "written"); });
}

// For sadd and srem. Strings are members; numbers and booleans stand for their text.
void change_set(Exchange& ex, std::string_view method, std::string_view empty_reply,
                Exchange::Next next) {
  auto key = key_of(ex);
  if (!key) return;
  Member members[] = {{"members"}};
  if (auto read = read_members(ex.body(), members); !read.ok()) return ex.fail(read.error());
  if (!members[0].is(JsonKind::kArray))
    return ex.fail(Error(errors::kInvalidRequest, "members must be an array of strings"));
  cache::v1::MembersRequest request;
  for (JsonMembers reader(*members[0].value); reader.next();) {
    const JsonValue value = reader.value();
    if (value.is(JsonKind::kObject) || value.is(JsonKind::kArray) || value.is(JsonKind::kNull))
      return ex.fail(Error(errors::kInvalidRequest, "members must be an array of strings"));
    auto text = text_of(value);
    request.add_members(text ? std::move(*text) : std::string(value.raw()));
  }
  if (request.members().empty()) return ex.reply(200, empty_reply);
  request.set_key(std::move(*key));
  ask(ex, method, request, rpc::Repeat::kNever, next);
}

void add_to_set(Exchange& ex) {
  change_set(ex, "SetAdd", R"({"added":0})",
             [](Exchange& e, Result<std::string> result) { reply_count(e, result, "added"); });
}

void remove_from_set(Exchange& ex) {
  change_set(ex, "SetRemove", R"({"removed":0})",
             [](Exchange& e, Result<std::string> result) { reply_count(e, result, "removed"); });
}

void get_set(Exchange& ex) {
  ask_for_key(ex, "SetMembers", rpc::Repeat::kSafe, [](Exchange& e, Result<std::string> result) {
    cache::v1::MembersReply reply;
    if (!e.take(result, reply)) return;
    if (!reply.found()) return e.fail(Error(errors::kNotFound, "Not found"));
    std::string out = "{\"value\":[";
    for (int i = 0; i < reply.members_size(); ++i) {
      if (i > 0) out += ',';
      json::append_string(out, reply.members(i));
    }
    out += "]}";
    e.reply(200, out);
  });
}

void unknown(Exchange& ex) {
  // "/api/v1/cache/kv" and "/api/v1/cache/kv/": an operation without a key.
  const size_t slash = ex.rest().find('/');
  if (slash == std::string_view::npos || slash + 1 == ex.rest().size())
    return ex.fail(Error(errors::kInvalidRequest, "key is required"));
  ex.fail(Error(errors::kUnknownEndpoint, "Unknown cache endpoint"));
}

constexpr Route on_key(std::string_view name, std::string_view method, std::string_view path,
                       void (*handle)(Exchange&), BodyLimit body = BodyLimit::kSmall) {
  return {
      .name = name, .method = method, .path = path, .open = true, .body = body, .handle = handle};
}

}  // namespace

std::span<const Route> cache_routes() {
  static const Route kRoutes[] = {
      on_key("cache_get", "GET", "/api/v1/cache/kv/", get),
      on_key("cache_set", "PUT", "/api/v1/cache/kv/", set, BodyLimit::kDefault),
      on_key("cache_delete", "DELETE", "/api/v1/cache/kv/", erase),
      on_key("cache_expire", "POST", "/api/v1/cache/expire/", expire),
      on_key("cache_hset", "POST", "/api/v1/cache/hset/", set_hash, BodyLimit::kDefault),
      on_key("cache_hgetall", "GET", "/api/v1/cache/hgetall/", get_hash),
      on_key("cache_sadd", "POST", "/api/v1/cache/sadd/", add_to_set, BodyLimit::kDefault),
      on_key("cache_srem", "POST", "/api/v1/cache/srem/", remove_from_set, BodyLimit::kDefault),
      on_key("cache_smembers", "GET", "/api/v1/cache/smembers/", get_set),
      on_key("cache_unknown", "*", "/api/v1/cache/", unknown),
  };
  return kRoutes;
}

}  // namespace raymesh::gateway
