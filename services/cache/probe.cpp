#include "services/cache/probe.hpp"

namespace raymesh::cache {
namespace {

metrics::Counter& sessions(metrics::Registry& registry, const char* result) {
  return registry.counter("raymesh_cache_sessions_total",
                          "Reads and writes of stored raystream sessions", {{"result", result}});
}

}  // namespace

Probe::Probe(metrics::Registry& r)
    : registry_(r),
      hits_(r.counter("raymesh_cache_reads_total", "Reads of entries", {{"result", "hit"}})),
      misses_(r.counter("raymesh_cache_reads_total", "Reads of entries", {{"result", "miss"}})),
      changes_(
          r.counter("raymesh_cache_changes_total", "Changes of entries that were carried out")),
      over_quota_(r.counter("raymesh_cache_over_quota_total",
                            "Changes refused because the project's quota is used up")),
      leases_(r.counter("raymesh_cache_leases_total", "Leases of rate-limit tokens",
                        {{"result", "granted"}})),
      leases_empty_(r.counter("raymesh_cache_leases_total", "Leases of rate-limit tokens",
                              {{"result", "empty"}})),
      tokens_(r.counter("raymesh_cache_leased_tokens_total", "Rate-limit tokens leased")),
      measured_(r.counter("raymesh_cache_usage_measured_total",
                          "Times that a project's usage was measured anew")),
      sessions_found_(sessions(r, "found")),
      sessions_missed_(sessions(r, "not_found")),
      sessions_stored_(sessions(r, "stored")),
      sessions_refused_(sessions(r, "refused")),
      sessions_confirmed_(sessions(r, "confirmed")),
      sessions_ended_(sessions(r, "ended")) {}

void Probe::watch(const std::string& store, const redis::Store& primaries) {
  struct Number {
    const char* name;
    const char* help;
    bool counts;
    double (*read)(const redis::ClientStats&);
  };
  using S = redis::ClientStats;
  static constexpr Number kNumbers[] = {
      {"raymesh_cache_redis_connected", "1 when the primary is connected", false,
       [](const S& s) { return s.connected ? 1.0 : 0.0; }},
      {"raymesh_cache_redis_outstanding", "Commands waiting or in flight", false,
       [](const S& s) { return static_cast<double>(s.outstanding); }},
      {"raymesh_cache_redis_commands_total", "Commands handed to the primary's connection", true,
       [](const S& s) { return static_cast<double>(s.commands); }},
      {"raymesh_cache_redis_refused_total", "Commands refused because the queue was full", true,
       [](const S& s) { return static_cast<double>(s.refused); }},
      {"raymesh_cache_redis_timeouts_total", "Commands that ran into their deadline", true,
       [](const S& s) { return static_cast<double>(s.timeouts); }},
      {"raymesh_cache_redis_breaks_total", "Connections to the primary that broke", true,
       [](const S& s) { return static_cast<double>(s.breaks); }},
  };
  for (const auto& client : primaries.primaries()) {
    const metrics::Labels labels = {{"store", store}, {"primary", client->name()}};
    for (const Number& number : kNumbers) {
      auto read = [client = client.get(), of = number.read] { return of(client->stats()); };
      if (number.counts)
        registry_.counter_function(number.name, number.help, labels, read);
      else
        registry_.gauge_function(number.name, number.help, labels, read);
    }
  }
}

}  // namespace raymesh::cache
