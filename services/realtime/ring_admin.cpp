#include "services/realtime/ring_admin.hpp"

#include <algorithm>
#include <future>

#include "services/realtime/redis_scripts.hpp"
#include "services/realtime/topic_message.hpp"

namespace raymesh::realtime {
namespace {

using redis::Effect;
using redis::Reply;

constexpr std::chrono::seconds kTimeout{5};

redis::Client::Clock::time_point deadline() {
  return redis::Client::Clock::now() + kTimeout;
}

Error named(const std::string& url, const Error& error) {
  return {errors::kUnavailable, "the Redis " + url + " does not answer: " + error.message};
}

}  // namespace

RingAdmin::RingAdmin(std::vector<std::string> urls, std::string password)
    : urls_(std::move(urls)), password_(std::move(password)), io_(1, "ring") {}

RingAdmin::~RingAdmin() {
  for (auto& [url, client] : clients_) client->close();
  io_.stop();
}

redis::Client& RingAdmin::client(const std::string& url) {
  std::unique_ptr<redis::Client>& client = clients_[url];
  if (client) return *client;
  redis::ClientConfig config;
  config.address = redis::parse_address(url).value();
  for (const std::string& known : urls_)
    if (auto own = redis::parse_address(known); own.ok() && own->name() == url)
      config.address = std::move(*own);
  if (config.address.password.empty()) config.address.password = password_;
  config.client_name = "raymesh-ring";
  config.scripts = {&scripts::set_ring()};
  client = std::make_unique<redis::Client>(io_.context(0), std::move(config));
  return *client;
}

Result<RingRecord> RingAdmin::read(const std::string& url) {
  auto answer = std::make_shared<std::promise<Result<Reply>>>();
  auto future = answer->get_future();
  client(url).call(redis::Command("GET", "rm:rt:primaries"), Effect::kRead, deadline(),
                   [answer](Result<Reply> reply) { answer->set_value(std::move(reply)); });
  const Result<Reply> reply = future.get();
  if (!reply.ok()) return named(url, reply.error());
  if (reply->is_nil()) return first_ring(urls_);
  auto record = decode_ring(reply->text);
  if (!record)
    return Error(errors::kInternal, "the list that the Redis " + url + " keeps cannot be read");
  return *std::move(record);
}

Status RingAdmin::write(const std::string& url, const RingRecord& record) {
  const std::string text = encode(record);
  auto answer = std::make_shared<std::promise<Result<Reply>>>();
  auto future = answer->get_future();
  client(url).eval(scripts::set_ring(),
                   redis::Command("0", record.version, text, encode(RingMessage{record.version})),
                   Effect::kWrite, deadline(),
                   [answer](Result<Reply> reply) { answer->set_value(std::move(reply)); });
  const Result<Reply> reply = future.get();
  if (!reply.ok()) return named(url, reply.error());
  if (reply->text != text)
    return Error(errors::kUnavailable, "somebody else has changed the list meanwhile; the Redis " +
                                           url + " keeps another one");
  return ok_status();
}

Result<RingRecord> RingAdmin::newest() {
  RingRecord newest = first_ring(urls_);
  Error error;
  bool any = false;
  const RingRecord known = newest;
  for (const RingRecord::Primary& primary : known.lists.front()) {
    auto record = read(primary.url);
    if (!record.ok()) {
      error = record.error();
      continue;
    }
    any = true;
    if (record->version > newest.version) newest = *std::move(record);
  }
  if (!any) return error;
  // One that was taken out knows only what came after it.
  for (size_t seen = 0; seen != newest.version;) {
    seen = newest.version;
    const RingRecord::List list = newest.lists.front();
    for (const RingRecord::Primary& primary : list)
      if (auto record = read(primary.url); record.ok() && record->version > newest.version)
        newest = *std::move(record);
  }
  return newest;
}

Result<RingRecord> RingAdmin::set(const std::vector<std::string>& urls,
                                  const std::vector<std::string>& lost) {
  RAYMESH_TRY(const RingRecord before, newest());
  RAYMESH_TRY(const RingRecord next, next_ring(before, urls, lost));
  if (next.lists[0] == before.lists[0]) return before;
  std::vector<std::string> present, all;
  for (size_t i : {1, 0})
    for (const RingRecord::Primary& primary : next.lists[i]) {
      if (primary.lost || std::find(all.begin(), all.end(), primary.url) != all.end()) continue;
      all.push_back(primary.url);
      if (i == 1) present.push_back(primary.url);
    }
  // Before anything is changed: whoever is asked in vain later would hold everybody up.
  for (const std::string& url : all) {
    RAYMESH_TRY(const RingRecord known, read(url));
    if (known.version > before.version)
      return Error(errors::kUnavailable, "the Redis " + url + " keeps the list of another cluster");
  }
  // The last change may have been left half done.
  if (before.version > 0)
    for (const std::string& url : present) RAYMESH_CHECK_OK(write(url, before));
  for (const std::string& url : all) RAYMESH_CHECK_OK(write(url, next));
  return next;
}

}  // namespace raymesh::realtime
