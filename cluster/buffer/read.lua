-- Reads the next chunks of a stream, together with who the server and the stream are at that very moment.
-- A script, since at maxmemory Redis refuses to queue even reads in a MULTI.
-- KEYS: 1 chunks, 2 meta
-- ARGV: 1 the end behind which to read, 2 how many
-- Returns {the server's run_id, the stream's epoch or '', entries as XRANGE returns them}.
local run_id = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
local epoch = redis.call('HGET', KEYS[2], 'epoch') or ''
local least = string.format('%.0f-0', tonumber(ARGV[1]) + 1)
return {run_id, epoch, redis.call('XRANGE', KEYS[1], least, '+', 'COUNT', ARGV[2])}
