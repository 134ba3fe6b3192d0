// Which path and method lead to which handler. The tables stand in the *_routes.cpp files, one for
// each area of the API; a handler turns a request into one call of a service and the reply into an
// answer. Read-only; any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "libs/base/result.hpp"

namespace raymesh::gateway {

class Exchange;
struct Config;
struct KeyInfo;

/// Which of the configured limits a route's body has.
enum class BodyLimit { kSmall, kDefault, kMigration };
inline constexpr size_t kSmallBody = 64 << 10;

struct Route {
  std::string_view name;    // in metrics and logs
  std::string_view method;  // "*": any
  std::string_view path;    // the whole path, or with `open` its beginning
  bool open = false;
  std::string_view suffix = {};  // with `open`: how the path must end
  BodyLimit body = BodyLimit::kSmall;
  /// The key's capability (docs/capabilities.md) that it needs; empty: every key may.
  std::string_view capability = {};
  /// A request with an idempotency key is done once. Others that change something refuse a key.
  bool keeps_key = false;
  void (*handle)(Exchange&) = nullptr;
};

// One per area.
std::span<const Route> auth_routes();
std::span<const Route> info_routes();
std::span<const Route> db_routes();
std::span<const Route> cache_routes();
std::span<const Route> realtime_routes();
std::span<const Route> later_routes();
std::span<const Route> raystream_key_routes();

struct RouteMatch {
  const Route* route = nullptr;
  std::string_view rest;  // with `open`: what lies between path and suffix
  std::string allowed;    // no route: the methods that the path has, for 405; empty: 404
};

/// The most bytes that its body may have.
uint64_t body_limit(const Route& route, const Config& config);
/// Whether the key may use the route; nullptr, for routes that need no key, may what needs no
/// capability.
bool may_use(const Route& route, const KeyInfo* key);
/// permission_denied, for a key that may not.
Error lacks_capability(const Route& route);

/// `path` as sent, below /api/v1/; `method` HEAD finds GET.
RouteMatch find_route(std::string_view method, std::string_view path);

/// Number of routes, and the place of one among them (for metrics).
size_t route_count();
size_t route_index(const Route& route);
const Route& route_at(size_t index);

}  // namespace raymesh::gateway
