import { script } from './link.js';

/**
 * Steps that Redis does whole, each on one key: those on generations and on meta, on leases, on indexes of deadlines and
 * on the marks of what is derived. A text of ours begins with its revision, and a position is twenty digits wide, so that
 * both can be compared where they stand.
 */

/** Sets the text unless the same or a newer revision stands there. Args: text, seconds to live ('' for ever). Gives 1 if set. */
export const putIfNewer = script(
  2,
  `
local key, text, ttl = ...
local held = redis.call('GETRANGE', key, 0, 15)
if held ~= '' and tonumber(string.match(held, '^%d+') or -1) >= tonumber(string.match(text, '^%d+')) then return 0 end
if ttl == '' then redis.call('SET', key, text) else redis.call('SET', key, text, 'EX', ttl) end
return 1`,
  (text) => [text, ''],
);

/** Replaces an older revision, but never makes a key. Args: text. */
export const replaceIfOlder = script(
  1,
  `
local key, text = ...
local held = redis.call('GETRANGE', key, 0, 15)
if held == '' or tonumber(string.match(held, '^%d+') or -1) >= tonumber(string.match(text, '^%d+')) then return 0 end
redis.call('SET', key, text)
return 1`,
);

/** Compare and set of a whole text. Args: the text expected ('' for none), the new one. Gives 1, or the text that stands there. */
export const swap = script(
  2,
  `
local key, expected, text = ...
local held = redis.call('GET', key) or ''
if held ~= expected then return held end
redis.call('SET', key, text)
return 1`,
  (text) => ['', text],
);

/** Adds members to an index, all with the score 0. Args: the members, with blanks between them. */
export const addHints = script(
  1,
  `
local key, members = ...
if not string.find(members, ' ', 1, true) then return redis.call('ZADD', key, '0', members) end
local pairs = {}
for member in string.gmatch(members, '[^ ]+') do
  pairs[#pairs + 1] = '0'
  pairs[#pairs + 1] = member
end
return redis.call('ZADD', key, unpack(pairs))`,
);

/** Moves a marker forward, never back, and never makes one. Args: position. Gives 0 if there is no marker. */
export const advance = script(
  1,
  `
local key, position = ...
local held = redis.call('GET', key)
if not held then return 0 end
if held < position then redis.call('SET', key, position) end
return 1`,
);

/** Keeps a lease that is still the caller's. Args: token, milliseconds ('0' gives it back). */
export const extend = script(
  2,
  `
local key, token, ms = ...
if redis.call('GET', key) ~= token then return 0 end
if ms == '0' then redis.call('DEL', key) else redis.call('PEXPIRE', key, ms) end
return 1`,
);

/** On meta: notes how far the live generation has come, never back. Args: generation, position, position of the head. */
export const noteProgress = script(
  3,
  `
local key, generation, position, head = ...
if redis.call('HGET', key, 'live') ~= generation then return 0 end
local held = redis.call('HGET', key, 'position')
if not held or held < position then redis.call('HSET', key, 'position', position) end
redis.call('HSET', key, 'head', head)
return 1`,
);

/** On meta: moves a position forward, never back. Args: field, position. */
export const raisePosition = script(
  2,
  `
local key, field, position = ...
local held = redis.call('HGET', key, field)
if not held or held < position then redis.call('HSET', key, field, position) end
return 1`,
);

/** On meta: sets a field while a generation is live. Args: generation, field, value. */
export const setWhileLive = script(
  3,
  `
local key, generation, field, value = ...
if redis.call('HGET', key, 'live') ~= generation then return 0 end
redis.call('HSET', key, field, value)
return 1`,
);

/**
 * On meta: a built generation becomes the live one, and the one before it is written on for a while.
 * Args: the builder's token, generation, version, runs vouched for, position, report, the request that this answers.
 * Gives 0 if another has begun to build since.
 */
export const goLive = script(
  7,
  `
local key, token, generation, version, runs, position, report, request = ...
if redis.call('HGET', key, 'builder') ~= token then return 0 end
local old = redis.call('HGET', key, 'live')
redis.call('HSET', key, 'live', generation, 'version', version, 'vouched', runs, 'position', position, 'last', report)
if old then redis.call('HSET', key, 'retiring', old) end
redis.call('HDEL', key, 'building', 'builder', 'buildPosition')
if redis.call('HGET', key, 'request') == request then redis.call('HDEL', key, 'request') end
return 1`,
);

/** On meta: forgets a generation that was being built, if it is still this builder's. Args: token. */
export const abandonBuild = script(
  1,
  `
local key, token = ...
if redis.call('HGET', key, 'builder') ~= token then return 0 end
redis.call('HDEL', key, 'building', 'builder', 'buildPosition')
return 1`,
);

/** On meta: removes a field if it has this value. Args: field, value. */
export const clearField = script(
  2,
  `
local key, field, value = ...
if redis.call('HGET', key, field) ~= value then return 0 end
redis.call('HDEL', key, field)
return 1`,
);

/**
 * On a set of deadlines: when a member is looked at next. Args: member, score ('' takes it out), version. The fraction
 * of a score is the version of the state that it follows from, modulo 1024; a score of a newer one stays, by at most 64.
 */
export const putDeadline = script(
  3,
  `
local key, member, score, version = ...
local held = redis.call('ZSCORE', key, member)
if held and (version - (tonumber(held) % 1) * 1024) % 1024 >= 960 then return 0 end
if score == '' then redis.call('ZREM', key, member) else redis.call('ZADD', key, score, member) end
return 1`,
);

/**
 * On a set of deadlines: the beginnings of those steps of time in which anything is due. Args: from which instant on, before
 * which, and the width of a step, in milliseconds.
 */
export const stepsWithin = script(
  3,
  `
local key, at, before, width = ...
local found = {}
while true do
  local first = redis.call('ZRANGEBYSCORE', key, at, '(' .. before, 'WITHSCORES', 'LIMIT', 0, 1)
  if not first[2] then return found end
  local step = math.floor(tonumber(first[2]) / width) * width
  found[#found + 1] = step
  at = step + width
end`,
);

/** On the mark of something derived: makes it where there is none. Args: mark. Gives the one that holds. */
export const beginMark = script(
  1,
  `
local key, mark = ...
redis.call('SET', key, mark, 'NX')
return redis.call('GET', key)`,
);

/**
 * On such a mark: moves it on, never back, if it is still of this epoch and says no less than the caller has seen there.
 * Args: epoch, the position seen, the new one, and the run of the server for which all is there from now on ('': as it
 * was). Gives 0 if it is of another epoch, went back, or is gone.
 */
export const moveMark = script(
  4,
  `
local key, epoch, seen, position, run = ...
local held = redis.call('GET', key)
if not held or string.sub(held, 1, #epoch + 1) ~= epoch .. ' ' then return 0 end
local at, vouched = string.match(held, '^%S+ (%d+) ?(%S*)')
if not at or at < seen then return 0 end
if at < position then at = position end
if run == '' then run = vouched end
local moved = epoch .. ' ' .. at .. ' ' .. run
if moved ~= held then redis.call('SET', key, moved) end
return 1`,
);
