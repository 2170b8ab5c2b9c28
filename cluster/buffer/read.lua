-- Reads the next chunks of a stream, together with who the server and the stream are at that very moment. First it mends
-- what our own scripts never write: else anybody who may write to these keys could stop the stream for good.
-- A script, since at maxmemory Redis refuses to queue even reads in a MULTI.
-- KEYS: 1 chunks, 2 meta, 3 producers, 4 cursors
-- ARGV: 1 run id, 2 role and 3 incarnation of the reader, 4 the end behind which to read, 5 the server's run_id and 6 the
--       stream's epoch that it belongs to, 7 how many entries, 8 bytes of the longest chunk's entry, 9 rank, 10 a random
--       epoch for a stream that has lost its own
-- Returns {the server's run_id, epoch or '', transitions ever pushed, the rank's cursor, the end up to which all is read
-- now, entries, what was mended}, or what fence.lua says. Entries are as of XRANGE, with their bytes in place of the
-- fields where these are too many.
local count, longest, rank = tonumber(ARGV[7]), tonumber(ARGV[8]), ARGV[9]
local LARGEST = 2 ^ 52 -- Below it, Lua adds whole numbers exactly.
local PER_PART = 64 -- Bytes that a reader needs for one more part of an entry, however short that is.
local mended = {}

local function text(number)
  return string.format('%.0f', number)
end

-- Returns the number that a value of ours is, or nil where it is anything else.
local function whole(value)
  local number = string.match(value, '^%d+$') and tonumber(value)
  return number and number <= LARGEST and number or nil
end

for place, kind in ipairs({'stream', 'hash', 'hash', 'hash'}) do
  local found = redis.call('TYPE', KEYS[place]).ok
  if found ~= kind and found ~= 'none' then
    redis.call('UNLINK', KEYS[place])
    table.insert(mended, KEYS[place] .. ' was a ' .. found)
  end
end

local refusal = fence(KEYS[2], ARGV[1], ARGV[2], ARGV[3])
if refusal then
  return refusal
end

for _, field in ipairs({'pushed_transitions', 'pushed_chunks', 'trimmed_chunks'}) do
  local value = redis.call('HGET', KEYS[2], field)
  if value and not whole(value) then
    redis.call('HDEL', KEYS[2], field)
    table.insert(mended, KEYS[2] .. ' had no number as its ' .. field)
  end
end
local total = tonumber(redis.call('HGET', KEYS[2], 'pushed_transitions') or 0)

local epoch = total > 0 and redis.call('HGET', KEYS[2], 'epoch') or ''
if total > 0 and (epoch == '' or #epoch > 64) then
  -- At maxmemory Redis refuses HSET as a script's first write, but not HDEL.
  redis.call('HDEL', KEYS[2], 'epoch')
  redis.call('HSET', KEYS[2], 'epoch', ARGV[10])
  epoch = ARGV[10]
  table.insert(mended, KEYS[2] .. ' had no epoch')
end

local cursor = redis.call('HGET', KEYS[4], rank)
if cursor and (whole(cursor) or total + 1) > total then
  redis.call('HDEL', KEYS[4], rank)
  table.insert(mended, KEYS[4] .. ' had a cursor beyond what was ever pushed')
  cursor = false
end

-- On another server, or in another stream, the same offset may stand for chunks that were not read.
local server = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
local position = 0
if server == ARGV[5] and epoch == ARGV[6] then
  position = math.min(tonumber(ARGV[4]), total)
end

-- One at a time: how large an entry is shows only when it is read.
local entries, bytes = {}, 0
local function take(first, last, remove)
  local taken
  while #entries < count and bytes < longest do
    local entry = redis.call('XRANGE', KEYS[1], first, last, 'COUNT', 1)[1]
    if not entry then
      return taken, true
    end
    taken = entry[1]
    if remove then
      redis.call('XDEL', KEYS[1], taken)
    else
      first = '(' .. taken
    end
    local size = 0
    for _, part in ipairs(entry[2]) do
      size = size + #part + PER_PART
    end
    bytes = bytes + math.min(size, longest)
    table.insert(entries, {taken, size > longest and size or entry[2]})
  end
  return taken, false
end

local newest, all = take(text(position + 1) .. '-0', text(total), false)
if newest then
  position = tonumber(string.match(newest, '%d+'))
end
if all then
  position = total
  -- Entries beyond all that was ever pushed are read once, since they may be chunks whose meta was lost, and are gone then.
  if redis.call('HGET', KEYS[2], 'blocked') and select(2, take(text(total + 1) .. '-0', '+', true)) then
    local ours = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
    if ours then
      redis.call('XSETID', KEYS[1], ours[1])
    else
      redis.call('UNLINK', KEYS[1])
    end
    redis.call('HDEL', KEYS[2], 'blocked')
    table.insert(mended, KEYS[1] .. ' had an id beyond what was ever pushed')
  end
end
return {server, epoch, total, tonumber(cursor or 0), position, entries, mended}
