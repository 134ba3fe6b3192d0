#include "services/realtime/redis_scripts.hpp"

#include "services/realtime/redis_script_parts.hpp"

namespace raymesh::realtime::scripts {
namespace {

using redis::Script;

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

constexpr const char* kRevoked = R"(
local function expire_revoked()
  local last = redis.call('ZRANGE', 'rm:rt:revoked', -1, -1, 'WITHSCORES')
  redis.call('EXPIREAT', 'rm:rt:revoked', string.format('%.0f', tonumber(last[2]) + 1))
end
)";

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

}  // namespace raymesh::realtime::scripts
