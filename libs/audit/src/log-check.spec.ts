import { describe, expect, it } from '@jest/globals';
import { AUDITED_STREAM_PREFIXES } from '@keyledger/contracts';
import type { StoredEvent } from '@keyledger/event-store';
import fc from 'fast-check';
import { signCheckpoint } from './checkpoint.js';
import { hashOfEvent } from './envelope.js';
import { checkLog, type LogReport } from './log-check.js';
import { naiveRoot, NaiveStore, storedEvents } from './merkle.spec-support.js';
import { formatVerifierKey, generateSignerKey, parseSignerKey } from './note.js';

const SIZE = 160;
const signer = parseSignerKey(generateSignerKey('keys.example.com/audit'));
const notes: string[] = [];
const log = signedLog();
const hashes = log.map((event, index) => hashOfEvent(index, event));
const tree = Object.assign(new NaiveStore(hashes), { head: { size: log.length } });
/** Sizes of the signed trees. What lies behind the largest is proved by nothing yet. */
const sizes = notes.map((note) => Number(note.split('\n')[1]));
const covered = sizes.at(-1) as number;

/** Events with a checkpoint after every 29 of them; each checkpoint is a leaf itself, and stands outside as well. */
function signedLog(): StoredEvent[] {
  const events: StoredEvent[] = [];
  const leaves: Buffer[] = [];
  const add = (given: StoredEvent): void => {
    const event = { ...given, position: BigInt(events.length * 311 + 17) };
    leaves.push(hashOfEvent(events.length, event));
    events.push(event);
  };
  for (const event of storedEvents(SIZE)) {
    add(event);
    if (events.length % 30 !== 29) continue;
    const [size, root] = [events.length, naiveRoot(leaves)];
    const note = signCheckpoint({ origin: signer.name, size, root }, [signer]);
    const data = { size, root: root.toString('base64'), note, keys: [formatVerifierKey(signer)] };
    const id = `00000000-0000-8000-9000-${String(notes.length).padStart(12, '0')}`;
    add({ ...event, stream: 'audit-checkpoint', revision: notes.length, type: 'CheckpointSigned', id, data });
    notes.push(note);
  }
  return events;
}

/** Of what a store holds, what belongs to the trail by its stream's name. */
const audited = (events: readonly StoredEvent[], prefixes: readonly string[] = AUDITED_STREAM_PREFIXES) =>
  events.filter(({ stream }) => prefixes.some((prefix) => stream.startsWith(prefix)));

/** What is found where a store holds these events. */
function check(events: readonly StoredEvent[], kept: typeof tree | undefined = tree): Promise<LogReport> {
  const store = {
    async *readStored({ streamPrefixes }: { streamPrefixes: readonly string[] }) {
      const read = audited(events, streamPrefixes);
      for (let at = 0; at < read.length; at += 41) yield read.slice(at, at + 41);
    },
  };
  async function* published() {
    for (const note of notes) yield { file: 'a place outside', note };
  }
  return checkLog({ store, trusted: [signer], published: published(), ...(kept && { tree: kept }) });
}

const at = (index: number): StoredEvent => log[index] as StoredEvent;
const places = fc.nat(covered - 1);

const flippedText = (text: string, bit: number): string => {
  const bytes = Buffer.from(text);
  bytes.writeUInt8(bytes.readUInt8((bit >> 3) % bytes.length) ^ (1 << (bit & 7)), (bit >> 3) % bytes.length);
  return bytes.toString('utf8');
};

/** A payload in whose stored bytes a bit was flipped, as a store gives it: as JSON, or as bytes where it is none now. */
function flippedPayload(value: unknown, bit: number): unknown {
  const text = flippedText(JSON.stringify(value), bit);
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return Buffer.from(text);
  }
}

const FLIPS: { readonly [K in keyof Required<StoredEvent>]: (event: StoredEvent, bit: number) => StoredEvent } = {
  id: (event, bit) => ({ ...event, id: flippedText(event.id, bit) }),
  stream: (event, bit) => ({ ...event, stream: flippedText(event.stream, bit) }),
  revision: (event, bit) => ({ ...event, revision: event.revision ^ (1 << (bit % 31)) }),
  type: (event, bit) => ({ ...event, type: flippedText(event.type, bit) }),
  position: (event, bit) => ({ ...event, position: event.position ^ (1n << BigInt(bit % 63)) }),
  recordedAt: (event, bit) => {
    const time = BigInt(Date.parse(event.recordedAt)) ^ (1n << BigInt(bit % 42));
    return { ...event, recordedAt: new Date(Number(time)).toISOString() };
  },
  data: (event, bit) => ({ ...event, data: flippedPayload(event.data, bit) }),
  metadata: (event, bit) => ({ ...event, metadata: flippedPayload(event.metadata, bit) }),
};
const fields = fc.constantFrom(...(Object.keys(FLIPS) as (keyof StoredEvent)[]));
/** A place, and the log with one bit flipped there. */
const flipped = fc
  .tuple(places, fields, fc.nat(1 << 16))
  .map(([place, field, bit]) => ({ place, events: log.with(place, FLIPS[field](at(place), bit)) }))
  .filter(({ place, events }) => !hashOfEvent(place, events[place] as StoredEvent).equals(hashes[place] as Buffer));
const dropped = places.map((place) => ({ place, events: log.toSpliced(place, 1) }));
const swapped = fc
  .tuple(places, places)
  .filter(([one, other]) => one < other)
  .map(([place, other]) => ({ place, events: log.with(place, at(other)).with(other, at(place)) }));
const added = fc
  .tuple(places, fc.nat(log.length - 1))
  .filter(([place, copied]) => place !== copied)
  .map(([place, copied]) => ({ place, events: log.toSpliced(place, 0, at(copied)) }));
const forged = places.map((place) => {
  const event = { ...at(place), id: 'ffffffff-0000-8000-8000-000000000000', position: at(place).position - 1n };
  return { place, events: log.toSpliced(place, 0, event) };
});
const redated = fc
  .tuple(places, fc.integer({ min: -1e9, max: 1e9 }))
  .filter(([, by]) => by !== 0)
  .map(([place, by]) => {
    const recordedAt = new Date(Date.parse(at(place).recordedAt) + by).toISOString();
    return { place, events: log.with(place, { ...at(place), recordedAt }) };
  });

const MUTATIONS: [string, fc.Arbitrary<{ place: number; events: StoredEvent[] }>, number][] = [
  ['a bit of any field is flipped', flipped, 200],
  ['it is dropped', dropped, 40],
  ['it is swapped with any other', swapped, 40],
  ['another one is repeated in front of it', added, 40],
  ['one that never was is added in front of it', forged, 40],
  ['it is re-dated', redated, 40],
];

describe('the check of a log', () => {
  it('finds nothing where nothing was changed, and proves all that is signed', async () => {
    for (const kept of [tree, undefined]) {
      expect(await check(log, kept)).toMatchObject({
        ok: true,
        events: log.length,
        root: naiveRoot(hashes).toString('base64'),
        checkpoints: { recorded: notes.length, published: notes.length },
        provedTo: { size: covered },
        findings: [],
      });
    }
  });

  it.each(MUTATIONS)('names the event, whichever it is, when %s', async (_, mutations, numRuns) => {
    await fc.assert(
      fc.asyncProperty(mutations, async ({ place, events }) => {
        const { ok, findings } = await check(events);
        expect(ok).toBe(false);
        const { id, stream, revision } = audited(events)[place] as StoredEvent;
        expect(findings[0]).toMatchObject({ index: place, id, stream, revision });
      }),
      { numRuns },
    );
  });

  it.each(MUTATIONS)('without kept hashes finds it between two checkpoints when %s', async (_, mutations, numRuns) => {
    await fc.assert(
      fc.asyncProperty(mutations, async ({ place, events }) => {
        const { ok, findings, provedTo } = await check(events, undefined);
        const before = sizes.findLast((size) => size <= place) ?? 0;
        const behind = sizes.find((size) => size > place) as number;
        const [first] = findings;
        if (!first || !('index' in first)) throw new Error('the first finding names no event');
        expect(ok).toBe(false);
        expect(provedTo?.size ?? 0).toBe(before);
        expect(first.index).toBeGreaterThanOrEqual(before);
        expect(first.index).toBeLessThanOrEqual(behind);
      }),
      { numRuns: numRuns / 2 },
    );
  });

  it('names the end of a log that was cut off anywhere', async () => {
    await fc.assert(
      fc.asyncProperty(places, async (size) => {
        const { findings } = await check(log.slice(0, size));
        expect(findings[0]).toMatchObject({ code: 'EVENT_MISSING', index: size });
      }),
      { numRuns: 40 },
    );
  });
});
