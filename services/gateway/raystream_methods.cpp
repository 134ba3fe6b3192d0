#include "services/gateway/raystream_methods.hpp"

#include <string>
#include <unordered_map>
#include <vector>

namespace raymesh::gateway {
namespace {

using rpc::Repeat;

const Route* route(std::string_view method, std::string_view path) {
  return find_route(method, path).route;
}

RaystreamMethod query(std::string_view name, std::string_view operation, Repeat repeat) {
  return {name,   route("POST", "/api/v1/db"), operation, Service::kStorage, "Query",
          repeat, Forward::kOperation};
}

// `path` stands for all paths of an open route.
RaystreamMethod cache(std::string_view name, std::string_view method, std::string_view path,
                      std::string_view rpc, Repeat repeat) {
  return {name, route(method, path), {}, Service::kCache, rpc, repeat};
}

std::vector<RaystreamMethod> make_methods() {
  return {
      {kAttachMethod},
      {kEchoMethod},
      {"info", route("GET", "/api/v1/info")},
      {"auth.signup", route("POST", "/api/v1/auth/signup"), {}, Service::kAuth, "Signup"},
      {"auth.login", route("POST", "/api/v1/auth/login"), {}, Service::kAuth, "Login"},
      {"auth.me",
       route("POST", "/api/v1/auth/me"),
       {},
       Service::kAuth,
       "VerifyToken",
       Repeat::kSafe,
       Forward::kToken},
      query("db.query", {}, Repeat::kNever),
      query("db.find", "find", Repeat::kSafe),
      query("db.findMany", "findMany", Repeat::kSafe),
      query("db.findFirst", "findFirst", Repeat::kSafe),
      query("db.findOne", "findOne", Repeat::kSafe),
      query("db.count", "count", Repeat::kSafe),
      query("db.insert", "insert", Repeat::kNever),
      query("db.update", "update", Repeat::kNever),
      query("db.delete", "delete", Repeat::kNever),
      {"db.migrate",
       route("POST", "/api/v1/db/migrate"),
       {},
       Service::kStorage,
       "Migrate",
       Repeat::kNever,
       Forward::kMigration},
      cache("cache.get", "GET", "/api/v1/cache/kv/k", "Get", Repeat::kSafe),
      cache("cache.set", "PUT", "/api/v1/cache/kv/k", "Set", Repeat::kNever),
      cache("cache.delete", "DELETE", "/api/v1/cache/kv/k", "Delete", Repeat::kNever),
      cache("cache.expire", "POST", "/api/v1/cache/expire/k", "Expire", Repeat::kNever),
      cache("cache.hset", "POST", "/api/v1/cache/hset/k", "HashSet", Repeat::kNever),
      cache("cache.hgetall", "GET", "/api/v1/cache/hgetall/k", "HashGetAll", Repeat::kSafe),
      cache("cache.sadd", "POST", "/api/v1/cache/sadd/k", "SetAdd", Repeat::kNever),
      cache("cache.srem", "POST", "/api/v1/cache/srem/k", "SetRemove", Repeat::kNever),
      cache("cache.smembers", "GET", "/api/v1/cache/smembers/k", "SetMembers", Repeat::kSafe),
      {"realtime.token",
       route("POST", "/api/v1/realtime/token"),
       {},
       Service::kRealtime,
       "Mint",
       Repeat::kSafe,
       Forward::kUser},
      {"realtime.publish",
       route("POST", "/api/v1/realtime/publish"),
       {},
       Service::kRealtime,
       "Publish",
       Repeat::kNever,
       Forward::kChannel},
      {"realtime.presence",
       route("GET", "/api/v1/realtime/channels/c/presence"),
       {},
       Service::kRealtime,
       "Presence",
       Repeat::kSafe,
       Forward::kChannel},
      {"realtime.history",
       route("GET", "/api/v1/realtime/channels/c/history"),
       {},
       Service::kRealtime,
       "History",
       Repeat::kSafe,
       Forward::kChannel},
      {"realtime.revoke",
       route("POST", "/api/v1/realtime/revoke"),
       {},
       Service::kRealtime,
       "Revoke",
       Repeat::kSafe},
      // The last one, see Table. A key that may mint tokens for any channel may subscribe to it.
      {"subscribe", route("POST", "/api/v1/realtime/token"), {}, Service::kRealtime},
  };
}

struct Table {
  std::vector<RaystreamMethod> methods = make_methods();
  std::unordered_map<std::string_view, const RaystreamMethod*> by_name;
  Table() {
    for (const RaystreamMethod& method : methods)
      if (&method != &methods.back()) by_name.emplace(method.name, &method);
  }
};

const Table& table() {
  static const Table kTable;
  return kTable;
}

}  // namespace

const RaystreamMethod* find_raystream_method(std::string_view name) {
  // A thread's calls are often of one method, one after the other.
  thread_local const RaystreamMethod* last = nullptr;
  if (last && last->name == name) return last;
  const auto it = table().by_name.find(name);
  if (it == table().by_name.end()) return nullptr;
  return last = it->second;
}

const RaystreamMethod& subscribe_method() {
  return table().methods.back();
}

std::span<const RaystreamMethod> raystream_methods() {
  return table().methods;
}

}  // namespace raymesh::gateway
