-- Notes who holds a role of a run, and where that run is at home.
-- KEYS: 1 hash: the run's claim, or the meta of one of its streams
-- ARGV: 1 run id, 2 role, 3 incarnation, 4 `new` if that incarnation must not be noted yet, 5 host and 6 folder of the run,
--       empty for a stream
-- Returns {'ok'}, or what fence.lua says.
if ARGV[4] == 'new' and redis.call('HGET', KEYS[1], ARGV[2]) == ARGV[3] then
  return {'replaced', ARGV[3]}
end
local refusal = fence(KEYS[1], ARGV[1], ARGV[2], ARGV[3])
if refusal then
  return refusal
end
if ARGV[5] ~= '' then
  redis.call('HSET', KEYS[1], 'host', ARGV[5], 'folder', ARGV[6])
end
return {'ok'}
