#include "services/cache/scripts.hpp"

namespace raymesh::cache {

// MEMORY USAGE is exact for strings and samples five elements of a collection. What expires or is
// evicted is not subtracted, so the estimate errs upwards until it is measured anew. Collections
// go in pieces, because unpack() is limited by Lua's stack.
const redis::Script& change_script() {
  static const redis::Script kScript(R"(
local entry, usage = KEYS[1], KEYS[2]
local quota, largest, incoming = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local op = ARGV[4]
local before = redis.call('MEMORY', 'USAGE', entry) or 0
local used = tonumber(redis.call('GET', usage) or 0)
if op == 'SET' and ARGV[7] == '1' and before > 0 then return {0, used} end
if op == 'SET' or op == 'HSET' or op == 'SADD' then
  local grows = incoming
  if op == 'SET' then grows = incoming - before
  elseif before + incoming > largest then
    redis.call(op == 'HSET' and 'HLEN' or 'SCARD', entry)
    return {-2, used}
  end
  if quota > 0 and grows > 0 and used + grows > quota then return {-1, used} end
end
local count = 0
if op == 'SET' then
  if tonumber(ARGV[6]) > 0 then redis.call('SET', entry, ARGV[5], 'EX', ARGV[6])
  else redis.call('SET', entry, ARGV[5]) end
  count = 1
elseif op == 'DEL' then
  count = redis.call('UNLINK', entry)
else
  for i = 5, #ARGV, 4000 do
    count = count + redis.call(op, entry, unpack(ARGV, i, math.min(i + 3999, #ARGV)))
  end
end
local after = 0
if op ~= 'DEL' then after = redis.call('MEMORY', 'USAGE', entry) or 0 end
if after ~= before then
  used = redis.call('INCRBY', usage, after - before)
  if used < 0 then
    redis.call('SET', usage, 0)
    used = 0
  end
end
return {count, used}
)");
  return kScript;
}

const redis::Script& measure_script() {
  static const redis::Script kScript(R"(
local page = redis.call('SCAN', ARGV[1], 'MATCH', ARGV[2], 'COUNT', ARGV[3])
local bytes = 0
for _, key in ipairs(page[2]) do
  bytes = bytes + (redis.call('MEMORY', 'USAGE', key) or 0)
end
return {page[1], bytes}
)");
  return kScript;
}

// Time is kept in whole microseconds and tokens with six decimals, as text: a Lua number printed by
// default has 14 digits, too few for microseconds since 1970. A bucket that has not been used for
// the time it takes to fill expires, which is the same as being full.
const redis::Script& lease_script() {
  static const redis::Script kScript(R"(
local rate, burst, want = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local held = redis.call('HMGET', KEYS[1], 't', 'n')
local tokens = burst
if held[1] and held[2] then
  local passed = math.max(0, now - tonumber(held[1]))
  tokens = math.min(burst, tonumber(held[2]) + passed * rate / 1000000)
end
local granted = math.floor(math.min(want, tokens) + 0.000001)
local retry = 0
if granted < 1 then
  granted = 0
  retry = math.ceil((1 - tokens) / rate * 1000)
end
redis.call('HSET', KEYS[1], 't', string.format('%.0f', now), 'n', string.format('%.6f', tokens - granted))
redis.call('PEXPIRE', KEYS[1], string.format('%.0f', math.min(burst / rate * 1000, 86400000 * 366) + 1000))
return {granted, retry}
)");
  return kScript;
}

// Generations and versions are far below 2^53, up to which Lua's numbers are exact. A mark is a
// record of the highest generation of all, without a state.
const redis::Script& put_session_script() {
  static const redis::Script kScript(R"(
local held = redis.call('HMGET', KEYS[1], 'g', 'v', 'o', 's', 'c')
local g, v = tonumber(held[1] or 0), tonumber(held[2] or 0)
local generation, version, raise = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3] ~= '0'
local mine = g == generation and held[3] == ARGV[4]
if mine and v == version and held[4] == ARGV[5] then return {1, g} end
local may
if raise then may = g > 0 and g == generation - 1 and not (ARGV[3] == '2' and held[5] == held[1])
else may = g < generation or (mine and v < version) end
if not may then return {0, g} end
redis.call('HSET', KEYS[1], 'g', ARGV[1], 'v', ARGV[2], 'o', ARGV[4], 's', ARGV[5])
redis.call('PEXPIRE', KEYS[1], ARGV[6])
if KEYS[2] then
  redis.call('XADD', KEYS[2], 'MAXLEN', '~', 50000, '*', 'i', ARGV[7], 'g', ARGV[1])
  redis.call('PEXPIRE', KEYS[2], ARGV[8])
end
return {1, generation}
)");
  return kScript;
}

// Which generation is confirmed stands beside the record: the next raise makes it void by itself.
const redis::Script& confirm_sessions_script() {
  static const redis::Script kScript(R"(
local confirmed = 0
for i, record in ipairs(KEYS) do
  local held = redis.call('HMGET', record, 'g', 'o')
  if held[1] == ARGV[i + 1] and held[2] == ARGV[1] then
    redis.call('HSET', record, 'c', held[1])
    confirmed = confirmed + 1
  end
end
return confirmed
)");
  return kScript;
}

const redis::Script& end_session_script() {
  static const redis::Script kScript(R"(
local held = redis.call('HMGET', KEYS[1], 'g', 'o')
local g = tonumber(held[1] or 0)
if g > tonumber(ARGV[1]) or (g == tonumber(ARGV[1]) and held[2] ~= ARGV[2]) then return 0 end
redis.call('UNLINK', KEYS[1])
if ARGV[3] ~= '0' then
  redis.call('HSET', KEYS[1], 'g', '9007199254740991')
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
end
return g > 0 and 1 or 0
)");
  return kScript;
}

}  // namespace raymesh::cache
