-- Pushes one chunk, all of it or nothing.
-- KEYS: 1 chunks, 2 meta, 3 producers, 4 cursors
-- ARGV: 1 producer's id, 2 sequence, 3 steps, 4 data, 5 capacity, 6 backlog (both in transitions), 7 number of readers,
--       8 the last sequence after which the producer accepts a gap, or empty, 9 a random epoch for a new stream
-- Returns {'ok', chunks skipped by an accepted gap}, {'duplicate', last}, {'gap', last} or {'full', unread}.
local producer_id, sequence, steps = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local capacity, backlog, readers = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])

-- Lua would write a large number with an exponent.
local function whole(number)
  return string.format('%.0f', number)
end

-- What is no number was written by somebody else.
local last = tonumber(string.match(redis.call('HGET', KEYS[3], producer_id) or '', '^%d+$') or -1)
if sequence <= last then
  return {'duplicate', last}
end
if sequence > last + 1 and ARGV[8] ~= whole(last) then
  return {'gap', last}
end

-- A reader that has not committed yet has read nothing.
local total = tonumber(redis.call('HGET', KEYS[2], 'pushed_transitions') or 0)
local read = total
for rank = 0, readers - 1 do
  local cursor = tonumber(redis.call('HGET', KEYS[4], whole(rank)) or 0)
  -- One beyond what was pushed is no reader's: believed, it would have unread chunks trimmed.
  read = math.min(read, cursor and cursor <= total and cursor or 0)
end
local unread = total - read
-- One chunk always fits, or a backlog below its length would stop the producer for ever.
if unread > 0 and unread + steps > backlog then
  return {'full', unread}
end

-- Drops the chunks that end at or before `offset`; returns how many.
local function trim(offset)
  if offset <= 0 then
    return 0
  end
  local dropped = redis.call('XTRIM', KEYS[1], 'MINID', '=', whole(offset + 1) .. '-0')
  if dropped > 0 then
    redis.call('HINCRBY', KEYS[2], 'trimmed_chunks', dropped)
  end
  return dropped
end

local function add()
  local id = whole(total + steps) .. '-' .. ARGV[3]
  return redis.pcall('XADD', KEYS[1], id, 'data', ARGV[4], 'producer_id', producer_id, 'sequence', ARGV[2])
end

local added = add()
if type(added) == 'table' and added.err then
  if not string.find(added.err, 'OOM', 1, true) then
    -- Somebody may have added a greater id, which the next read takes out of the way.
    redis.pcall('HSET', KEYS[2], 'blocked', 1)
    return added
  end
  -- At maxmemory the oldest chunks make room if every reader has read them: twice the new chunk's length, so that memory
  -- shrinks below the limit again. The trim also lets this script write on: Redis refuses only a script's first write.
  local oldest = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)[1]
  if not oldest then
    return {'full', unread}
  end
  local ends, length = string.match(oldest[1], '(%d+)-(%d+)')
  local room = math.max(tonumber(ends), tonumber(ends) - tonumber(length) + 2 * steps)
  if trim(math.min(room, read)) == 0 then
    return {'full', unread}
  end
  added = add()
  if type(added) == 'table' and added.err then
    return added
  end
end

if total == 0 then
  redis.call('HSET', KEYS[2], 'epoch', ARGV[9])
end
total = total + steps
redis.call('HSET', KEYS[2], 'pushed_transitions', whole(total))
redis.call('HINCRBY', KEYS[2], 'pushed_chunks', 1)
redis.call('HSET', KEYS[3], producer_id, ARGV[2])
trim(math.min(total - capacity, read))
return {'ok', sequence - last - 1}
