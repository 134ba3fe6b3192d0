// Presence: who comes, goes and is moved, and what those leave that can do nothing any more.
#include "services/realtime/redis_script_parts.hpp"
#include "services/realtime/redis_scripts.hpp"

namespace raymesh::realtime::scripts {

using redis::Script;

const Script& enter() {
  static const Script kScript = make(kUnlessFull, {kMembers, R"(
local c, i, earlier, id, identity, json, token = unpack(ARGV)
if not has_lease(i) then return -1 end
local key = 'rm:rt:m:' .. i .. ':' .. c
if redis.call('HEXISTS', key, id) == 1 then return id end
local old
if earlier ~= '' then
  -- Not the last one alone: when a node had to register twice before everybody had entered again,
  -- some are where they were before that, and being swept there they would leave once they are in.
  for _, other in ipairs(redis.call('SMEMBERS', 'rm:rt:n:' .. c)) do
    old = old or (other ~= i and take(c, other, id))
  end
end
if not old and token ~= '' and redis.call('EXISTS', 'rm:rt:d:' .. c) == 1 then
  for k = 1, handover_slots do
    local field = token .. '#' .. k
    local waiting = redis.call('HGET', 'rm:rt:d:' .. c, field)
    if waiting then
      redis.call('HDEL', 'rm:rt:d:' .. c, field)
      redis.call('ZREM', 'rm:rt:handovers', c .. '\n' .. field)
      old = string.match(waiting, '^%d+:(.*)$')
      -- Who comes back is whom the others know: all but the id is of the one that enters.
      local _, was = split(old)
      local old_id = string.match(was, '^{"id":"([^"\\]+)')
      local head = '{"id":"' .. id .. '"'
      if old_id and string.sub(json, 1, #head) == head then
        json = '{"id":"' .. old_id .. '"' .. string.sub(json, #head + 1)
        id = old_id
      end
      break
    end
  end
end
redis.call('HSET', key, id, #identity .. ':' .. identity .. json)
if redis.call('SADD', 'rm:rt:n:' .. c, i) == 1 then
  redis.call('SADD', 'rm:rt:sweep:' .. i, 'c' .. c)
  redis.call('PERSIST', 'rm:rt:s:' .. c)
end
if identity ~= '' then redis.call('HINCRBY', 'rm:rt:i:' .. c, identity, 1) end
if old then forget_identity(c, (split(old))) else tell(c, {'\1', json}) end
return id
)"});
  return kScript;
}

const Script& leave() {
  static const Script kScript = make(kAlways, {kNow, kMembers, R"(
local c, i, before, id, token, handover, idle = unpack(ARGV)
local member = take(c, i, id) or (before ~= '' and take(c, before, id))
if not member then return 0 end
local identity, json = split(member)
local stays = false
if tonumber(handover) > 0 then
  local deadline = string.format('%.0f', now_ms() + tonumber(handover))
  for k = 1, handover_slots do
    local field = token .. '#' .. k
    if redis.call('HSETNX', 'rm:rt:d:' .. c, field, deadline .. ':' .. member) == 1 then
      redis.call('ZADD', 'rm:rt:handovers', deadline, c .. '\n' .. field)
      stays = true
      break
    end
  end
  idle = string.format('%.0f', tonumber(idle) + tonumber(handover))
end
if not stays then
  forget_identity(c, identity)
  tell(c, {'\0', json})
end
maybe_unused(c, idle)
return 1
)"});
  return kScript;
}

const Script& watch() {
  static const Script kScript = make(kAlways, {kMembers, R"(
local c, i, wanted = unpack(ARGV)
if wanted == '1' then
  if not has_lease(i) then return -1 end
  redis.call('SADD', 'rm:rt:w:' .. c, i)
  redis.call('SADD', 'rm:rt:sweep:' .. i, 'w' .. c)
else
  redis.call('SREM', 'rm:rt:w:' .. c, i)
  redis.call('SREM', 'rm:rt:sweep:' .. i, 'w' .. c)
end
return 1
)"});
  return kScript;
}

const Script& presence() {
  static const Script kScript = make(kReads, {kFence, kMembers, R"(
if is_old(redis.call('GET', 'rm:rt:ring'), ARGV[5]) then return -2 end
local c, limit, at, cursor = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4]
local handed = 'rm:rt:d:' .. c
local names, count = {}, 0
for _, i in ipairs(redis.call('SMEMBERS', 'rm:rt:n:' .. c)) do
  if has_lease(i) then
    names[#names + 1] = i
    count = count + redis.call('HLEN', 'rm:rt:m:' .. i .. ':' .. c)
  end
end
table.sort(names)
local waiting = redis.call('HLEN', handed)
if waiting > 0 then
  names[#names + 1] = 'h'  -- behind all hex digits
  count = count + waiting
end
local members, next_name, next_cursor, scans = {}, '', '0', 0
for n, name in ipairs(names) do
  if name >= at then
    local here = name == at and cursor or '0'
    local key = name == 'h' and handed or 'rm:rt:m:' .. name .. ':' .. c
    repeat
      if #members >= limit or scans >= 100 then
        return {count, redis.call('HLEN', 'rm:rt:i:' .. c), name, here, members}
      end
      local page = redis.call('HSCAN', key, here, 'COUNT', math.min(limit - #members, 1000))
      scans = scans + 1
      here = page[1]
      for f = 2, #page[2], 2 do
        local member = page[2][f]
        if name == 'h' then member = string.match(member, '^%d+:(.*)$') end
        members[#members + 1] = member
      end
    until here == '0'
  end
end
return {count, redis.call('HLEN', 'rm:rt:i:' .. c), '', '0', members}
)"});
  return kScript;
}

const Script& sweep() {
  static const Script kScript = make(kAlways, {kNow, kMembers, R"(
local me, budget, idle = ARGV[1], tonumber(ARGV[3]), ARGV[4]
if ARGV[2] ~= '0' then
  local holder = redis.call('GET', 'rm:rt:sweeper')
  if holder and holder ~= me then return {-1, 0} end
  redis.call('SET', 'rm:rt:sweeper', me, 'PX', ARGV[2])
end
local left, gone = budget, 0

local function sweep_members(c, i)
  local key = 'rm:rt:m:' .. i .. ':' .. c
  local found = redis.call('HRANDFIELD', key, left, 'WITHVALUES')
  local ids, events = {}, {}
  for n = 1, #found, 2 do
    local identity, json = split(found[n + 1])
    forget_identity(c, identity)
    ids[#ids + 1] = found[n]
    events[#events + 1] = '\0'
    events[#events + 1] = json
  end
  if #ids > 0 then redis.call('HDEL', key, unpack(ids)) end
  left, gone = left - #ids, gone + #ids
  tell(c, events)
  if redis.call('EXISTS', key) == 0 then
    emptied(c, i)
    maybe_unused(c, idle)
  end
end

for _, i in ipairs(redis.call('SMEMBERS', 'rm:rt:nodes')) do
  if not has_lease(i) then
    local list = 'rm:rt:sweep:' .. i
    local item = redis.call('SRANDMEMBER', list)
    while item do
      if left <= 0 then return {gone, 1} end
      left = left - 1
      local kind, what = string.sub(item, 1, 1), string.sub(item, 2)
      if kind == 'c' then sweep_members(what, i)
      else
        if kind == 'w' then redis.call('SREM', 'rm:rt:w:' .. what, i)
        else redis.call('HDEL', 'rm:rt:a:' .. what, i) end
        redis.call('SREM', list, item)
      end
      item = redis.call('SRANDMEMBER', list)
    end
    redis.call('SREM', 'rm:rt:nodes', i)
  end
end

if left <= 0 then return {gone, 1} end
local due = redis.call('ZRANGEBYSCORE', 'rm:rt:handovers', '-inf', now_ms(), 'LIMIT', 0, left)
for _, item in ipairs(due) do
  local c, field = string.match(item, '^(.-)\n(.*)$')
  local member = redis.call('HGET', 'rm:rt:d:' .. c, field)
  redis.call('ZREM', 'rm:rt:handovers', item)
  if member then
    redis.call('HDEL', 'rm:rt:d:' .. c, field)
    local identity, json = split(string.match(member, '^%d+:(.*)$'))
    forget_identity(c, identity)
    tell(c, {'\0', json})
    maybe_unused(c, idle)
    gone = gone + 1
  end
end
return {gone, #due >= left and 1 or 0,
        redis.call('SCARD', 'rm:rt:nodes') + redis.call('ZCARD', 'rm:rt:handovers')}
)"});
  return kScript;
}

const Script& forget() {
  static const Script kScript = make(kAlways, {kNow, R"(
local c = ARGV[1]
for n = 2, 3 do
  local i = ARGV[n]
  if i ~= '' then
    redis.call('UNLINK', 'rm:rt:m:' .. i .. ':' .. c)
    redis.call('SREM', 'rm:rt:n:' .. c, i)
    redis.call('SREM', 'rm:rt:w:' .. c, i)
    redis.call('SREM', 'rm:rt:sweep:' .. i, 'c' .. c, 'w' .. c)
  end
end
local out, now = {}, now_ms()
local handed = redis.call('HGETALL', 'rm:rt:d:' .. c)
for n = 1, #handed, 2 do
  local deadline, member = string.match(handed[n + 1], '^(%d+):(.*)$')
  out[#out + 1] = handed[n]
  out[#out + 1] = math.max(tonumber(deadline) - now, 1)
  out[#out + 1] = member
  redis.call('ZREM', 'rm:rt:handovers', c .. '\n' .. handed[n])
end
redis.call('UNLINK', 'rm:rt:d:' .. c)
if redis.call('EXISTS', 'rm:rt:n:' .. c) == 0 then
  redis.call('UNLINK', 'rm:rt:i:' .. c, 'rm:rt:w:' .. c, 'rm:rt:s:' .. c, 'rm:rt:h:' .. c)
end
return out
)"});
  return kScript;
}

const Script& hand_over() {
  static const Script kScript = make(kAlways, {kNow, kMembers, R"(
local c, now = ARGV[1], now_ms()
for n = 2, #ARGV, 3 do
  local field, member = ARGV[n], ARGV[n + 2]
  local deadline = string.format('%.0f', now + tonumber(ARGV[n + 1]))
  local identity, json = split(member)
  if redis.call('HSETNX', 'rm:rt:d:' .. c, field, deadline .. ':' .. member) == 1 then
    redis.call('ZADD', 'rm:rt:handovers', deadline, c .. '\n' .. field)
    if identity ~= '' then redis.call('HINCRBY', 'rm:rt:i:' .. c, identity, 1) end
  else
    tell(c, {'\0', json})
  end
end
return 1
)"});
  return kScript;
}

}  // namespace raymesh::realtime::scripts
