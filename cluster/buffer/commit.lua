-- Moves a reader's cursor forward, on the very server that it has read from.
-- KEYS: 1 meta, 2 cursors
-- ARGV: 1 rank, 2 end, 3 the server's run_id and 4 the stream's epoch at the time of reading
-- Returns 1, or 0 if the server or the stream is another one by now: there the same offset may stand for unread chunks.
local run_id = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
if run_id ~= ARGV[3] or redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[4] then
  return 0
end
if tonumber(ARGV[2]) > tonumber(redis.call('HGET', KEYS[2], ARGV[1]) or 0) then
  -- At maxmemory Redis refuses HSET as a script's first write, and then nothing could ever be trimmed: HDEL goes first.
  redis.call('HDEL', KEYS[2], ARGV[1])
  redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
end
return 1
