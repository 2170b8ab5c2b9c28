-- Counts what a stream holds, all at one moment.
-- KEYS: 1 chunks, 2 meta, 3 cursors
-- ARGV: 1 number of readers
-- Returns {transitions, chunks, bytes, unread, pushed transitions, pushed chunks, trimmed chunks}.
local function count(field)
  return tonumber(redis.call('HGET', KEYS[2], field) or 0)
end

local pushed = count('pushed_transitions')
local read = pushed
for rank = 0, tonumber(ARGV[1]) - 1 do
  read = math.min(read, tonumber(redis.call('HGET', KEYS[3], string.format('%.0f', rank)) or 0))
end

local transitions = 0
local oldest = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)[1]
if oldest then
  local ends, steps = string.match(oldest[1], '(%d+)-(%d+)')
  transitions = pushed - tonumber(ends) + tonumber(steps)
end

local chunks = redis.call('XLEN', KEYS[1])
local bytes = redis.call('MEMORY', 'USAGE', KEYS[1]) or 0
return {transitions, chunks, bytes, pushed - read, pushed, count('pushed_chunks'), count('trimmed_chunks')}
