#include "services/realtime/redis_scripts.hpp"

#include <string>

namespace raymesh::realtime::scripts {
namespace {

using redis::Script;

// A script that may run when Redis is out of memory: whatever frees memory or keeps a lease. All
// others are refused as a whole, before they have changed anything.
constexpr const char* kAlways = "#!lua flags=allow-oom\n";
constexpr const char* kUnlessFull = "#!lua\n";
constexpr const char* kReads = "#!lua flags=no-writes\n";

// A caller that knows an older ring than this primary would do what nobody sees.
constexpr const char* kFence = R"(
local function is_old(stored, ring)
  return stored and stored ~= ring and tonumber(stored) > tonumber(ring)
end
)";

// The channel's epoch and last offset. What is of an older generation counts as not there, and so
// does what is of a time before the channel was here without a break. The state is packed, which is
// faster than text: epoch (16), offset, bytes of history, ring's version when the epoch began (4),
// generation (the rest).
constexpr const char* kState = R"(
-- Reads, and begins the epoch if there is none. Nothing when the caller's ring is old.
local function position(c, proposed, idle, ring, home)
  local key = 'rm:rt:s:' .. c
  local head = redis.call('MGET', 'rm:rt:gen', key, 'rm:rt:ring')
  if is_old(head[3], ring) then return nil end
  local gen, state = head[1] or '0', head[2]
  local used = redis.call('EXISTS', 'rm:rt:n:' .. c) == 1
  if state and string.sub(state, 37) == gen and
      struct.unpack('<I4', state, 33) >= tonumber(home) then
    if not used and redis.call('PTTL', key) < tonumber(idle) then
      redis.call('PEXPIRE', key, idle)
    end
    return string.sub(state, 1, 16), (struct.unpack('<I8', state, 17))
  end
  redis.call('DEL', 'rm:rt:h:' .. c)
  state = proposed .. struct.pack('<I8I8I4', 0, 0, tonumber(ring)) .. gen
  if used then redis.call('SET', key, state) else redis.call('SET', key, state, 'PX', idle) end
  return proposed, 0
end
)";

constexpr const char* kNow = R"(
local function now_ms()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end
)";

constexpr const char* kMembers = R"(
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

constexpr const char* kRevoked = R"(
local function expire_revoked()
  local last = redis.call('ZRANGE', 'rm:rt:revoked', -1, -1, 'WITHSCORES')
  redis.call('EXPIREAT', 'rm:rt:revoked', string.format('%.0f', tonumber(last[2]) + 1))
end
)";

Script make(const char* flags, std::initializer_list<const char*> parts) {
  std::string source = flags;
  for (const char* part : parts) source += part;
  return Script(source);
}

}  // namespace

const Script& hello() {
  static const Script kScript = make(kAlways, {R"(
local run = string.sub(string.match(redis.call('INFO', 'server'), 'run_id:(%x+)'), 1, 16)
local gen = redis.call('GET', 'rm:rt:gen')
local count, of = string.match(gen or '', '^(%d+)-(%x+)$')
if of ~= run then
  gen = string.format('%.0f-%s', tonumber(count or 0) + 1, run)
  redis.call('SET', 'rm:rt:gen', gen)
end
return gen
)"});
  return kScript;
}

const Script& register_node() {
  static const Script kScript = make(kAlways, {R"(
redis.call('SET', 'rm:rt:lease:' .. ARGV[1], ARGV[2], 'PX', ARGV[3])
redis.call('SADD', 'rm:rt:nodes', ARGV[1])
return {redis.call('GET', 'rm:rt:gen') or '0', redis.call('GET', 'rm:rt:ring') or '0'}
)"});
  return kScript;
}

const Script& renew() {
  static const Script kScript = make(kAlways, {R"(
local out = {redis.call('GET', 'rm:rt:gen') or '0'}
for n = 2, #ARGV do out[n] = redis.call('PEXPIRE', 'rm:rt:lease:' .. ARGV[n], ARGV[1]) end
out[#out + 1] = redis.call('GET', 'rm:rt:ring') or '0'
return out
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

// The hot path: no functions, and as few calls as it takes. Without history the state keeps its
// time to live, which began with the last member's leaving, so that nobody needs to look for
// members.
const Script& publish() {
  static const Script kScript = make(kUnlessFull, {R"(
local call, c, count, body = redis.call, ARGV[1], tonumber(ARGV[3]), ARGV[4]
local state_key = 'rm:rt:s:' .. c
local head = call('MGET', 'rm:rt:gen', state_key, 'rm:rt:ring')
local gen, state, ring = head[1] or '0', head[2], head[3]
if ring and ring ~= ARGV[10] and tonumber(ring) > tonumber(ARGV[10]) then return -2 end
local epoch, last, bytes, born, fresh = ARGV[2], 0, 0, 0, true
if state and string.sub(state, 37) == gen then
  last, bytes, born = struct.unpack('<I8I8I4', state, 17)
  fresh = born < tonumber(ARGV[11])
end
if not fresh then
  epoch = string.sub(state, 1, 16)
else
  last, bytes, born = 0, 0, tonumber(ARGV[10])
  call('DEL', 'rm:rt:h:' .. c)
end

local keep = tonumber(ARGV[6])
if keep > 0 then
  local key, most, life = 'rm:rt:h:' .. c, tonumber(ARGV[7]), tonumber(ARGV[8])
  local time = call('TIME')
  local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
  local now_text = string.format('%.0f', now)
  local length = call('XLEN', key)
  if length == 0 then bytes = 0 end
  -- body: origin and time (24), count (4), sizes (4 each), payloads
  local at = 29 + 4 * count
  for n = 1, count do
    local size = struct.unpack('<I4', body, 25 + 4 * n)
    if n > count - keep then
      call('XADD', key, string.format('%.0f-0', last + n), 't', now_text,
           'p', string.sub(body, at, at + size - 1))
      bytes = bytes + size
      length = length + 1
    end
    at = at + size
  end
  -- The oldest go: those that are too many, too much or too old.
  local from, trim, oldest = '-', nil, now - life
  local done = false
  while not done do
    local entries = call('XRANGE', key, from, '+', 'COUNT',
                               math.min(64, math.max(1, length - keep + 1)))
    done = #entries == 0
    for _, entry in ipairs(entries) do
      local size = #entry[2][4]
      if length <= keep and (most == 0 or bytes <= most) and tonumber(entry[2][2]) >= oldest then
        done = true
        break
      end
      length, bytes = length - 1, bytes - size
      trim = tonumber(string.match(entry[1], '^%d+'))
      from = '(' .. entry[1]
    end
  end
  if trim then call('XTRIM', key, 'MINID', string.format('%.0f-0', trim + 1)) end
  call('PEXPIRE', key, ARGV[8])
end

state = epoch .. struct.pack('<I8I8I4', last + count, bytes, born) .. gen
if not fresh and keep == 0 then call('SET', state_key, state, 'KEEPTTL')
elseif call('EXISTS', 'rm:rt:n:' .. c) == 1 then call('SET', state_key, state)
else call('SET', state_key, state, 'PX', ARGV[9]) end

local delivered = 0
if ARGV[5] == '1' then
  for _, i in ipairs(call('SMEMBERS', 'rm:rt:n:' .. c)) do
    if call('EXISTS', 'rm:rt:lease:' .. i) == 1 then
      delivered = delivered + call('HLEN', 'rm:rt:m:' .. i .. ':' .. c)
    end
  end
end
call('SPUBLISH', 'rm:rt:t:' .. c, '\1' .. epoch .. struct.pack('<I8', last + 1) .. body)
return {epoch, last + count, delivered}
)"});
  return kScript;
}

const Script& position() {
  static const Script kScript = make(kAlways, {kFence, kState, R"(
local epoch, offset = position(ARGV[1], ARGV[2], ARGV[3], ARGV[6], ARGV[7])
if not epoch then return -2 end
if ARGV[4] ~= '' then
  redis.call('SPUBLISH', ARGV[4], ARGV[5] .. epoch .. struct.pack('<I8', offset))
end
return {epoch, offset}
)"});
  return kScript;
}

const Script& history() {
  static const Script kScript = make(kAlways, {kFence, kState, kNow, R"(
local c = ARGV[1]
local epoch, offset = position(c, ARGV[2], ARGV[3], ARGV[9], ARGV[10])
if not epoch then return -2 end
local next, limit, most = 1, tonumber(ARGV[6]), tonumber(ARGV[7])
if ARGV[4] == epoch then next = tonumber(ARGV[5]) + 1 end
local oldest = now_ms() - tonumber(ARGV[8])
local out, bytes, cut = {}, 0, 0
while cut == 0 and #out < 2 * limit do
  local entries = redis.call('XRANGE', 'rm:rt:h:' .. c, string.format('%.0f-0', next), '+',
                             'COUNT', math.min(64, limit - #out / 2))
  if #entries == 0 then break end
  for _, entry in ipairs(entries) do
    local at = tonumber(string.match(entry[1], '^%d+'))
    next = at + 1
    if tonumber(entry[2][2]) >= oldest then
      local size = #entry[2][4]
      if bytes > 0 and bytes + size > most then
        cut = 1
        break
      end
      bytes = bytes + size
      out[#out + 1] = at
      out[#out + 1] = entry[2][4]
    end
  end
end
return {epoch, offset, cut, out}
)"});
  return kScript;
}

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

const Script& admit() {
  static const Script kScript = make(kUnlessFull, {kMembers, R"(
local scope, i, limit = ARGV[1], ARGV[2], tonumber(ARGV[3])
if not has_lease(i) then return -1 end
local counts = redis.call('HGETALL', 'rm:rt:a:' .. scope)
local sum = 0
for n = 1, #counts, 2 do
  if has_lease(counts[n]) then sum = sum + tonumber(counts[n + 1]) end
end
if sum >= limit then return 0 end
if redis.call('HINCRBY', 'rm:rt:a:' .. scope, i, 1) == 1 then
  redis.call('SADD', 'rm:rt:sweep:' .. i, 'a' .. scope)
end
return 1
)"});
  return kScript;
}

const Script& dismiss() {
  static const Script kScript = make(kAlways, {R"(
local key, i = 'rm:rt:a:' .. ARGV[1], ARGV[2]
local count = tonumber(redis.call('HGET', key, i) or 0)
if count > 1 then redis.call('HSET', key, i, string.format('%.0f', count - 1))
else
  redis.call('HDEL', key, i)
  redis.call('SREM', 'rm:rt:sweep:' .. i, 'a' .. ARGV[1])
end
return 1
)"});
  return kScript;
}

const Script& recount() {
  static const Script kScript = make(kAlways, {kMembers, R"(
local i = ARGV[1]
if not has_lease(i) then return -1 end
for n = 2, #ARGV, 2 do
  if ARGV[n + 1] == '0' then
    redis.call('HDEL', 'rm:rt:a:' .. ARGV[n], i)
    redis.call('SREM', 'rm:rt:sweep:' .. i, 'a' .. ARGV[n])
  else
    redis.call('HSET', 'rm:rt:a:' .. ARGV[n], i, ARGV[n + 1])
    redis.call('SADD', 'rm:rt:sweep:' .. i, 'a' .. ARGV[n])
  end
end
return 1
)"});
  return kScript;
}

const Script& revoke() {
  static const Script kScript = make(kAlways, {kRevoked, R"(
local now = tonumber(redis.call('TIME')[1])
redis.call('ZREMRANGEBYSCORE', 'rm:rt:revoked', '-inf', string.format('(%.0f', now))
if redis.call('ZCARD', 'rm:rt:revoked') >= tonumber(ARGV[3]) then return {0} end
redis.call('ZADD', 'rm:rt:revoked', ARGV[2], ARGV[1])
expire_revoked()
redis.call('SPUBLISH', 'rm:rt:control', ARGV[4])
local out = {1}
for _, i in ipairs(redis.call('SMEMBERS', 'rm:rt:nodes')) do
  local id = redis.call('GET', 'rm:rt:lease:' .. i)
  if id then out[#out + 1] = id end
end
return out
)"});
  return kScript;
}

const Script& keep_revocations() {
  static const Script kScript = make(kAlways, {kRevoked, R"(
for n = 1, #ARGV, 2 do redis.call('ZADD', 'rm:rt:revoked', ARGV[n + 1], ARGV[n]) end
expire_revoked()
return 1
)"});
  return kScript;
}

const Script& set_ring() {
  static const Script kScript = make(kAlways, {R"(
local known = redis.call('GET', 'rm:rt:ring')
if known and tonumber(known) >= tonumber(ARGV[1]) then
  return redis.call('GET', 'rm:rt:primaries') or ''
end
redis.call('MSET', 'rm:rt:ring', ARGV[1], 'rm:rt:primaries', ARGV[2])
if ARGV[3] ~= '' then redis.call('SPUBLISH', 'rm:rt:control', ARGV[3]) end
return ARGV[2]
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
