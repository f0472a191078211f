import { script } from './link.js';

/**
 * The steps of `UsageStore`, each on the hash of one key. The names beside it (`due`, `at`) carry the same hash tag
 * and so lie in the same slot. Instants are texts of one width, so that their order is that of their text.
 */
const MERGE_TIMES = `
local function merge(key, secret, first, last)
  local held = redis.call('HMGET', key, 'f:' .. secret, 'l:' .. secret)
  if first and (not held[1] or first < held[1]) then redis.call('HSET', key, 'f:' .. secret, first) end
  if last and (not held[2] or last > held[2]) then redis.call('HSET', key, 'l:' .. secret, last) end
  return not held[1]
end
local function beside(key, name) return string.match(key, '^kl:u:{.}') .. ':' .. name end
`;

const RESTORE = `
local function restore(key, text)
  for _, use in ipairs(cjson.decode(text)) do
    merge(key, use.secretId, use.firstUsedAt, use.lastUsedAt)
    local held = tonumber(redis.call('HGET', key, 'n:' .. use.secretId) or 0)
    if use.count > held then redis.call('HSET', key, 'n:' .. use.secretId, string.format('%.0f', use.count)) end
  end
end
`;

const ADD = `
local key, id, secret, count, first, last, now = ...
local isFirst = merge(key, secret, first, last)
redis.call('HINCRBY', key, 'd:' .. secret, count)
if isFirst then redis.call('ZADD', beside(key, 'due'), 0, id)
else redis.call('ZADD', beside(key, 'due'), 'NX', now, id) end
return 1`;

/** Args: key id, secret id, count, first use, last use, now in milliseconds. */
export const addUses = script(6, MERGE_TIMES + ADD);

/** Likewise of uses that were added before, and only if they are gone: what was added with a last use has set that. */
export const addLostUses = script(
  6,
  `${MERGE_TIMES}
local key, _, secret, _, _, last = ...
local held = redis.call('HGET', key, 'l:' .. secret)
if held and held >= last then return 0 end${ADD}`,
);

/** Gives the mark of the slot, and the fields of the hash. */
export const readUsage = script(
  0,
  `${MERGE_TIMES}
local key = ...
return { redis.call('GET', beside(key, 'at')) or '', redis.call('HGETALL', key) }`,
);

/** Args: what the events have, as JSON. */
export const restoreUsage = script(
  1,
  `${MERGE_TIMES}${RESTORE}
local key, recorded = ...
restore(key, recorded)
return 1`,
);

/** Args: key id, the score with which it is due again, what the events have. Gives the fields that are to be recorded. */
export const beginRollUp = script(
  3,
  `${MERGE_TIMES}${RESTORE}
local key, id, again, recorded = ...
restore(key, recorded)
redis.call('ZADD', beside(key, 'due'), again, id)
local fields = redis.call('HGETALL', key)
for i = 1, #fields, 2 do
  local secret = string.match(fields[i], '^d:(.*)$')
  if secret then
    redis.call('HINCRBY', key, 'n:' .. secret, fields[i + 1])
    redis.call('HDEL', key, fields[i])
  end
end
return redis.call('HGETALL', key)`,
);

/** Args: key id, now in milliseconds, how many secrets are remembered. */
export const endRollUp = script(
  3,
  `${MERGE_TIMES}
local key, id, now, kept = ...
local fields = redis.call('HGETALL', key)
local counting, used = false, {}
for i = 1, #fields, 2 do
  local letter, secret = string.match(fields[i], '^(.):(.*)$')
  if letter == 'd' then counting = true end
  if letter == 'l' then used[#used + 1] = { secret = secret, at = fields[i + 1] } end
end
if counting then redis.call('ZADD', beside(key, 'due'), now, id) else redis.call('ZREM', beside(key, 'due'), id) end
table.sort(used, function(one, other) return one.at > other.at end)
for i = tonumber(kept) + 1, #used do
  local secret = used[i].secret
  if not redis.call('HGET', key, 'd:' .. secret) then
    redis.call('HDEL', key, 'n:' .. secret, 'f:' .. secret, 'l:' .. secret)
  end
end
return 1`,
);
