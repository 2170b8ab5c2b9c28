-- Reads the next chunks of a stream, together with who the server and the stream are at that very moment.
-- A script, since at maxmemory Redis refuses to queue even reads in a MULTI.
-- KEYS: 1 chunks, 2 meta
-- ARGV: 1 run id, 2 role and 3 incarnation of the reader, 4 the end behind which to read, 5 how many
-- Returns {the server's run_id, the stream's epoch or '', entries as XRANGE returns them}, or what fence.lua says.
local refusal = fence(KEYS[2], ARGV[1], ARGV[2], ARGV[3])
if refusal then
  return refusal
end
local server = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
local epoch = redis.call('HGET', KEYS[2], 'epoch') or ''
local least = string.format('%.0f-0', tonumber(ARGV[4]) + 1)
return {server, epoch, redis.call('XRANGE', KEYS[1], least, '+', 'COUNT', ARGV[5])}
