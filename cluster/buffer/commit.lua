-- Moves a reader's cursor forward, on the very server that it has read from.
-- KEYS: 1 meta, 2 cursors
-- ARGV: 1 run id, 2 role and 3 incarnation of the reader, 4 rank, 5 end, 6 the server's run_id and 7 the stream's epoch
--       at the time of reading
-- Returns {'ok'}, {'moved'} if the server or the stream is another one by now: there the same offset may stand for
-- unread chunks, or what fence.lua says.
local server = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
if server ~= ARGV[6] or redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[7] then
  return {'moved'}
end
local refusal = fence(KEYS[1], ARGV[1], ARGV[2], ARGV[3])
if refusal then
  return refusal
end
if tonumber(ARGV[5]) > tonumber(redis.call('HGET', KEYS[2], ARGV[4]) or 0) then
  -- HDEL goes first for the reason that fence.lua tells.
  redis.call('HDEL', KEYS[2], ARGV[4])
  redis.call('HSET', KEYS[2], ARGV[4], ARGV[5])
end
return {'ok'}
