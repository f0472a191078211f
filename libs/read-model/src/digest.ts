import { redisNames } from '@keyledger/contracts';
import { createHash, hash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { RedisLink } from './link.js';
import { ReadModelUnavailable } from './unavailable.js';

/** What a generation says, in one text that does not depend on the order in which its records are found. */
export interface GenerationDigest {
  /** SHA-256 in hex. */
  digest: string;
  /** How many keys it holds. */
  keys: number;
}

export interface Difference {
  /** A record's name behind its generation, e.g. `v:{a}bc…`. */
  name: string;
  /** Id of the key or keyspace, where either side can be read. */
  id: string | undefined;
}

const SCAN_COUNT = 1000;
const SETTLE_ROUNDS = 20;
const SETTLE_MS = 100;

/**
 * The names in Redis that match a pattern, in pages, over all masters. A name may come more than once, as SCAN has it;
 * one that is there all the time is not left out.
 */
export async function* namesLike(link: RedisLink, pattern: string): AsyncGenerator<string[]> {
  for (const master of link.masters()) {
    let cursor = '0';
    do {
      const [next, names] = await master.scan(cursor, 'MATCH', pattern, 'COUNT', SCAN_COUNT).catch((error: unknown) => {
        throw new ReadModelUnavailable('unreachable', error);
      });
      cursor = next;
      if (names.length > 0) yield names;
    } while (cursor !== '0');
  }
}

/** Digest of the records of keys and keyspaces of a generation: where each stands, its revision and its state. */
export async function digestOf(
  link: RedisLink,
  generation: string,
  onRead?: (records: number) => void,
): Promise<GenerationDigest> {
  const records = new Fingerprints();
  for await (const names of namesLike(link, redisNames.everyRecord(generation))) {
    const texts = await read(link, names);
    for (const [index, name] of names.entries()) {
      const text = recordText(texts[index]);
      if (text !== undefined) records.add(`${redisNames.suffixOf(name)} ${text}`);
    }
    onRead?.(names.length);
  }
  const keys = new Fingerprints();
  for await (const names of namesLike(link, redisNames.everyPointer(generation)))
    names.forEach((name) => keys.add(name));
  return { digest: records.digest(), keys: keys.count() };
}

/**
 * The records in which two generations differ. Changes in flight reach both of them within moments, so what differs is
 * read again until it stays different for two seconds.
 */
export async function differences(link: RedisLink, one: string, other: string): Promise<Difference[]> {
  const suspects = new Set<string>();
  for (const generation of [one, other]) {
    for await (const names of namesLike(link, redisNames.everyRecord(generation))) {
      for (const suffix of (await unequal(link, one, other, names.map(redisNames.suffixOf))).keys())
        suspects.add(suffix);
    }
  }
  let open = [...suspects];
  let found = new Map<string, string | undefined>();
  for (let round = 0; open.length > 0 && round < SETTLE_ROUNDS; round++) {
    await sleep(SETTLE_MS);
    found = await unequal(link, one, other, open);
    open = [...found.keys()];
  }
  return [...found].map(([name, id]) => ({ name, id }));
}

async function unequal(
  link: RedisLink,
  one: string,
  other: string,
  suffixes: readonly string[],
): Promise<Map<string, string | undefined>> {
  const [left, right] = await Promise.all(
    [one, other].map((generation) =>
      read(
        link,
        suffixes.map((suffix) => redisNames.inGeneration(generation, suffix)),
      ),
    ),
  );
  const found = new Map<string, string | undefined>();
  for (const [index, suffix] of suffixes.entries()) {
    const texts = [recordText(left?.[index]), recordText(right?.[index])] as const;
    if (texts[0] !== texts[1]) found.set(suffix, idIn(texts[1]) ?? idIn(texts[0]));
  }
  return found;
}

async function read(link: RedisLink, names: readonly string[]): Promise<(string | null)[]> {
  return (await link.batch(names.map((key) => ({ call: 'get', key })))) as (string | null)[];
}

/** Traces of secrets that are over are left out: they say nothing that the record of their key does not say. */
function recordText(text: string | null | undefined): string | undefined {
  return text === null || text === undefined || /^\d+ @/.test(text) ? undefined : text;
}

function idIn(text: string | undefined): string | undefined {
  return /"(?:keyId|keyspaceId)":"([^"]{1,100})"/.exec(text ?? '')?.[1];
}

/** A set of texts, kept as 64 bits of each one's SHA-256, so that a million of them take eight megabytes. */
class Fingerprints {
  private prints = new BigUint64Array(1024);
  private size = 0;

  add(text: string): void {
    if (this.size === this.prints.length) {
      const wider = new BigUint64Array(this.size * 2);
      wider.set(this.prints);
      this.prints = wider;
    }
    this.prints[this.size++] = hash('sha256', text, 'buffer').readBigUInt64BE();
  }

  count(): number {
    return this.distinct().length;
  }

  digest(): string {
    return createHash('sha256').update(this.distinct()).digest('hex');
  }

  private distinct(): BigUint64Array {
    return this.prints
      .subarray(0, this.size)
      .sort()
      .filter((print, index, all) => index === 0 || print !== all[index - 1]);
  }
}
