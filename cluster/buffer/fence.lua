-- Begins every script that only the present holder of a role may run.
--
-- Notes in the hash `key` that an incarnation holds a role of a run. Returns nil, or what the script has to answer
-- instead: {'other', run id} if the hash is another run's, {'replaced', incarnation} if a later one, of the role or of
-- the run process itself, is noted there already. One who cannot be replaced has an empty run id, and is let through.
local function fence(key, run_id, role, incarnation)
  if run_id == '' then
    return nil
  end
  local noted = redis.call('HMGET', key, 'run_id', 'run', role)
  if noted[1] and noted[1] ~= run_id then
    return {'other', noted[1]}
  end
  local newest = math.max(tonumber(noted[2] or 0) or 0, tonumber(noted[3] or 0) or 0)
  if tonumber(incarnation) < newest then
    return {'replaced', string.format('%.0f', newest)}
  end
  if not noted[1] or noted[3] ~= incarnation then
    -- At maxmemory Redis refuses HSET as a script's first write, and then nothing could ever be trimmed: HDEL goes first.
    redis.call('HDEL', key, role)
    redis.call('HSET', key, 'run_id', run_id, role, incarnation)
  end
end
