-- Changes what Redis holds of a lineage of models, all of it or nothing, and at maxmemory too: models have room whatever
-- the chunks take, and the next pushes make good for it.
-- KEYS: 1 revision, 2 the run's claim
-- ARGV: 1 run id, 2 role and 3 incarnation of who changes it, all empty for one who cannot be replaced;
--       4 the revision that was read and that the change is based on, 5 the one that it leads to, then every command:
--       the number of its words, and the words
-- Returns {'ok'}, {'changed'} if the lineage has been changed since, {'lost'} if nobody claims the run any more, or what
-- fence.lua says.
if ARGV[1] ~= '' then
  if redis.call('HGET', KEYS[2], 'run_id') == false then
    return {'lost'}
  end
  local refusal = fence(KEYS[2], ARGV[1], ARGV[2], ARGV[3])
  if refusal then
    return refusal
  end
end
if (redis.call('GET', KEYS[1]) or '0') ~= ARGV[4] then
  return {'changed'}
end
-- At maxmemory Redis refuses a script's first write if it takes memory, and none after that: one that takes none goes first.
redis.call('UNLINK', KEYS[1])
local at = 6
while at <= #ARGV do
  local words = tonumber(ARGV[at])
  redis.call(unpack(ARGV, at + 1, at + words))
  at = at + 1 + words
end
redis.call('SET', KEYS[1], ARGV[5])
return {'ok'}
