-- Changes what Redis holds of a lineage of models, all of it or nothing, and at maxmemory too: models have room whatever
-- the chunks take, and the next pushes make good for it.
-- KEYS: 1 revision
-- ARGV: 1 the revision that was read and that the change is based on, then every command: the number of its words, and
--       the words
-- Returns 1, or 0 if the lineage has been changed since.
if (redis.call('GET', KEYS[1]) or '0') ~= ARGV[1] then
  return 0
end
-- At maxmemory Redis refuses a script's first write if it takes memory, and none after that: one that takes none goes first.
redis.call('UNLINK', KEYS[1])
local at = 2
while at <= #ARGV do
  local words = tonumber(ARGV[at])
  redis.call(unpack(ARGV, at + 1, at + words))
  at = at + 1 + words
end
redis.call('SET', KEYS[1], string.format('%.0f', tonumber(ARGV[1]) + 1))
return 1
