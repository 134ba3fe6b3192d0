// What the Lua scripts of the redis broker have in common: flags, and functions that several of
// them begin with. For redis_scripts*.cpp alone. Constants; any thread.
#pragma once

#include <initializer_list>
#include <string>

#include "libs/redis/script.hpp"

namespace raymesh::realtime::scripts {

// A script that may run when Redis is out of memory: whatever frees memory or keeps a lease. All
// others are refused as a whole, before they have changed anything.
inline constexpr const char* kAlways = "#!lua flags=allow-oom\n";
inline constexpr const char* kUnlessFull = "#!lua\n";
inline constexpr const char* kReads = "#!lua flags=no-writes\n";

// A caller that knows an older ring than this primary would do what nobody sees.
inline constexpr const char* kFence = R"(
local function is_old(stored, ring)
  return stored and stored ~= ring and tonumber(stored) > tonumber(ring)
end
)";

inline constexpr const char* kNow = R"(
local function now_ms()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end
)";

// Members, and what they leave.
inline constexpr const char* kMembers = R"(
local function has_lease(i) return redis.call('EXISTS', 'rm:rt:lease:' .. i) == 1 end
-- Identity and JSON of a member as it is kept.
local function split(member)
  local size, at = string.match(member, '^(%d+):()')
  size = tonumber(size)
  return string.sub(member, at, at + size - 1), string.sub(member, at + size)
end
local function forget_identity(c, identity)
  if identity ~= '' and redis.call('HINCRBY', 'rm:rt:i:' .. c, identity, -1) <= 0 then
    redis.call('HDEL', 'rm:rt:i:' .. c, identity)
  end
end
-- events: flag and JSON, one behind the other
local function tell(c, events)
  if #events == 0 or redis.call('EXISTS', 'rm:rt:w:' .. c) == 0 then return end
  local out = {'\2', struct.pack('<I4', #events / 2)}
  for e = 1, #events, 2 do
    out[#out + 1] = events[e]
    out[#out + 1] = struct.pack('<I4', #events[e + 1])
    out[#out + 1] = events[e + 1]
  end
  redis.call('SPUBLISH', 'rm:rt:t:' .. c, table.concat(out))
end
-- After the last member of an incarnation has gone.
local function emptied(c, i)
  redis.call('SREM', 'rm:rt:n:' .. c, i)
  redis.call('SREM', 'rm:rt:sweep:' .. i, 'c' .. c)
end
-- The state of a channel without members lives a while longer, and as long as its history.
local function maybe_unused(c, idle)
  if redis.call('EXISTS', 'rm:rt:n:' .. c) == 0 then
    if redis.call('EXISTS', 'rm:rt:d:' .. c) == 0 then redis.call('DEL', 'rm:rt:i:' .. c) end
    local life = math.max(tonumber(idle), redis.call('PTTL', 'rm:rt:h:' .. c))
    redis.call('PEXPIRE', 'rm:rt:s:' .. c, string.format('%.0f', life))
  end
end
local function take(c, i, id)
  local key = 'rm:rt:m:' .. i .. ':' .. c
  local member = redis.call('HGET', key, id)
  if not member then return nil end
  redis.call('HDEL', key, id)
  if redis.call('EXISTS', key) == 0 then emptied(c, i) end
  return member
end
local handover_slots = 4
)";

inline redis::Script make(const char* flags, std::initializer_list<const char*> parts) {
  std::string source = flags;
  for (const char* part : parts) source += part;
  return redis::Script(source);
}

}  // namespace raymesh::realtime::scripts
