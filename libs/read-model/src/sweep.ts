import { REDIS_TAGS, redisNames } from '@keyledger/contracts';
import { namesLike } from './digest.js';
import type { RedisLink } from './link.js';
import type { Meta } from './meta.js';

/**
 * Deletes the generations that no one can need any more: older than the live one, and neither being built nor retiring.
 * Ids of generations grow, so one that begins while this runs is never among them. The markers go first: from then on
 * a reader who still asks there hears that the model is gone, and not that a key is.
 * @returns how many names were deleted.
 */
export async function sweepGenerations(link: RedisLink, meta: Meta): Promise<number> {
  const live = meta.live?.generation;
  if (live === undefined) return 0;
  const kept = new Set([live, meta.building?.generation, meta.retiring]);
  const unmarked = new Set<string>();
  let deleted = 0;
  for await (const names of namesLike(link, redisNames.everyGeneration)) {
    const doomed = names.filter((name) => {
      const generation = redisNames.generationOf(name);
      return generation !== undefined && generation < live && !kept.has(generation);
    });
    const generations = new Set(doomed.map((name) => redisNames.generationOf(name) as string));
    for (const generation of generations) {
      if (!unmarked.has(generation)) await unmark(link, generation);
      unmarked.add(generation);
    }
    await link.batch(doomed.map((key) => ({ call: 'unlink', key })));
    deleted += doomed.length;
  }
  return deleted;
}

/** Deletes one generation that was never live. */
export async function deleteGeneration(link: RedisLink, generation: string): Promise<void> {
  await unmark(link, generation);
  for await (const names of namesLike(link, redisNames.allOf(generation))) {
    await link.batch(names.map((key) => ({ call: 'unlink', key })));
  }
}

async function unmark(link: RedisLink, generation: string): Promise<void> {
  await link.batch(REDIS_TAGS.map((tag) => ({ call: 'unlink', key: redisNames.marker(generation, tag) })));
}
