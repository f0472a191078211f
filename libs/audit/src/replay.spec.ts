import { afterAll, describe, expect, it } from '@jest/globals';
import { instantOf, type KeyEvent, type RecordedEvent } from '@keyledger/contracts';
import { judge, type KeyState } from '@keyledger/domain';
import fc from 'fast-check';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { History, type LogReader } from './history.js';
import { readerOf } from './log.spec-support.js';
import { advanceKey, explain, keyAt, type KeyAt } from './replay.js';
import { keyIn, lineOf, plainJson } from './snapshot-file.js';
import { trailRow } from './trail.js';

const START = Date.parse('2026-01-01T00:00:00Z');
const DAY = 86_400_000;
const folders: string[] = [];
afterAll(() => folders.forEach((folder) => rmSync(folder, { recursive: true, force: true })));

type Step = { key: number; kind: number; ms: number };
const steps = fc.array(fc.record({ key: fc.nat(4), kind: fc.nat(6), ms: fc.nat(DAY) }), { maxLength: 40 });

/** A log of a few keys: each begins with its issue; what comes then is any that may follow it. */
function logOf(given: readonly Step[]): RecordedEvent[] {
  const states = new Map<string, KeyAt>();
  let now = START;
  return given.flatMap(({ key, kind, ms }, index): RecordedEvent[] => {
    now += ms;
    const keyId = `key${key}`;
    const before = states.get(keyId);
    const event = eventOf(keyId, before?.state, kind, instantOf(now), index);
    if (!event) return [];
    const recorded: RecordedEvent = {
      id: `00000000-0000-4000-8000-${String(index).padStart(12, '0')}`,
      stream: `key-${keyId}`,
      revision: (before?.revision ?? -1) + 1,
      position: BigInt(index * 3 + 1),
      recordedAt: instantOf(now + 1),
      event,
      metadata: {
        schemaVersion: 1,
        commandId: String(index),
        actor: { type: 'key', id: 'admin' },
        reason: 'test',
        requestId: 'request',
        $correlationId: 'request',
        $causationId: 'request',
      },
    };
    states.set(keyId, advanceKey(before, recorded) as KeyAt);
    return [recorded];
  });
}

function eventOf(keyId: string, key: KeyState | undefined, kind: number, now: string, n: number): KeyEvent | undefined {
  const later = instantOf(Date.parse(now) + 2 * DAY);
  if (!key) {
    const secret = { secretId: `s${n}`, hash: `h${n}`, mask: 'm' };
    const terms = { environment: 'live', kind: 'secret', name: 'n', owner: { id: 'o', type: 'service' } } as const;
    const rest = { scopes: ['a:*'], restrictions: {}, metadata: {}, secret, createdAt: now };
    return { type: 'KeyIssued', data: { keyId, keyspaceId: 'acme', ...terms, ...rest, expiresAt: later } };
  }
  if (key.status === 'revoked') return undefined;
  const current = key.secrets[0];
  if (kind === 0) {
    return { type: 'KeyRevoked', data: { keyId, reason: 'other', requestedAt: now, revokedAt: now } };
  }
  if (kind <= 2 && key.status === 'active') {
    return { type: 'KeySuspended', data: { keyId, reason: 'test', suspendedAt: now } };
  }
  if (key.status === 'suspended') return { type: 'KeyReinstated', data: { keyId, reason: 'test', reinstatedAt: now } };
  if (kind <= 4 && current) {
    const secret = { secretId: `s${n}`, hash: `h${n}`, mask: 'm' };
    const graceEndsAt = instantOf(Date.parse(now) + DAY / 2);
    return {
      type: 'KeyRotated',
      data: { keyId, secret, previousSecretId: current.secretId, graceEndsAt, rotatedAt: now },
    };
  }
  const name = { before: key.name, after: `${key.name}x…€\u{1f511}` };
  return { type: 'KeyDetailsChanged', data: { keyId, changes: { name }, changedAt: now } };
}

async function keysOf(history: History, cut: object, options: object = {}): Promise<[string, KeyState, number][]> {
  const keys: [string, KeyState, number][] = [];
  for await (const batch of history.keysAt(cut, options)) {
    for (const found of batch) keys.push([found.keyId, found.key().state, found.key().revision]);
  }
  return keys;
}

function foldOf(log: readonly RecordedEvent[]): [string, KeyState, number][] {
  const keys = new Map<string, KeyAt>();
  for (const one of log) keys.set(one.stream.slice(4), advanceKey(keys.get(one.stream.slice(4)), one) as KeyAt);
  return [...keys]
    .sort(([one], [other]) => (one < other ? -1 : 1))
    .map(([id, { state, revision }]) => [id, state, revision]);
}

function folder(): string {
  const made = mkdtempSync(join(tmpdir(), 'keyledger-history-'));
  folders.push(made);
  return made;
}

describe('all keys as of a moment', () => {
  it('are a fold of the first n events, for every n, with snapshots and without, whatever fits into memory', async () => {
    await fc.assert(
      fc.asyncProperty(
        steps,
        fc.integer({ min: 1, max: 9 }),
        fc.integer({ min: 1, max: 6 }),
        async (given, spacing, mostHeld) => {
          const log = logOf(given);
          const options = { folder: folder(), version: 'test', mostSnapshots: 3, spacing, mostHeld };
          const history = new History(readerOf(log), options);
          await history.keepUp(new AbortController().signal);
          const again = new History(readerOf(log), options);
          await again.keepUp(new AbortController().signal);
          for (let n = 0; n <= log.length; n++) {
            const expected = foldOf(log.slice(0, n));
            const last = log[n - 1];
            const cut = { position: last?.position ?? 0n };
            expect(await keysOf(history, cut)).toEqual(expected);
            expect(await keysOf(again, cut)).toEqual(expected);
            expect(await keysOf(history, cut, { replay: true })).toEqual(expected);
            if (last && log[n]?.recordedAt !== last.recordedAt) {
              expect(await keysOf(history, { recordedUntil: last.recordedAt })).toEqual(expected);
            }
            const [first] = expected;
            if (first) expect(await keysOf(history, cut, { after: first[0] })).toEqual(expected.slice(1));
          }
        },
      ),
      { numRuns: 15 },
    );
  });

  it('are right when a snapshot is damaged, or of another log: it is not believed', async () => {
    const log = longLog();
    const options = { folder: folder(), version: 'test', spacing: 5 };
    await new History(readerOf(log), options).keepUp(new AbortController().signal);
    for (const path of snapshotsIn(options.folder).slice(0, 3)) damage(path);
    const shorter = [...log.slice(0, 12), ...log.slice(12).map((one) => ({ ...one, id: one.id.replace(/^0/, '1') }))];
    for (const [now, count] of [
      [log, 3],
      [shorter, 0],
    ] as const) {
      const history = new History(readerOf(now), options);
      await history.keepUp(new AbortController().signal);
      for (const { position } of now) {
        expect(await keysOf(history, { position })).toEqual(foldOf(now.filter((one) => one.position <= position)));
      }
      expect(history.status.snapshots).toBeGreaterThanOrEqual(count);
    }
  });

  it.each([
    ['the next one is made', false],
    ['a question is answered', true],
  ])('are right when the newest snapshot is damaged before %s: it is made again', async (_, asked) => {
    const log = longLog();
    const options = { folder: folder(), version: 'test', spacing: 5 };
    const growing = log.slice(0, 16);
    const history = new History(readerOf(growing), options);
    await history.keepUp(new AbortController().signal);
    damage(snapshotsIn(options.folder).at(-1) as string);
    if (asked) expect(await keysOf(history, {})).toEqual(foldOf(growing));
    growing.push(...log.slice(16));
    await expect(history.keepUp(new AbortController().signal)).rejects.toThrow('damaged');
    await history.keepUp(new AbortController().signal);
    expect(history.status).toEqual({ snapshots: 6, marks: 1, position: log.at(-1)?.position });
    expect(await keysOf(history, {})).toEqual(foldOf(log));
  });

  it('keep as many snapshots as are wanted, spread over the log, the newest among them', async () => {
    const log = longLog(60);
    const options = { folder: folder(), version: 'test', spacing: 2, mostSnapshots: 5 };
    await new History(readerOf(log), options).keepUp(new AbortController().signal);
    const kept = snapshotsIn(options.folder).map((path) => (Number(/(\d+)\.gz$/.exec(path)?.[1]) - 1) / 3);
    expect(kept).toHaveLength(5);
    expect(kept.at(-1)).toBe(59);
    for (const [index, place] of kept.entries()) expect(place - (kept[index - 1] ?? 0)).toBeLessThanOrEqual(24);
  });

  it('are made without reading more of the log again than what is behind the last snapshot', async () => {
    const log = longLog(103);
    const read: { from: bigint; to: bigint }[] = [];
    const counting: LogReader = {
      async *readAll(options) {
        const keysOnly = options.streamPrefixes.length === 1;
        for await (const batch of readerOf(log).readAll(options)) {
          if (keysOnly) read.push({ from: options.from ?? -1n, to: batch.at(-1)?.position ?? -1n });
          yield batch;
        }
      },
    };
    const options = { folder: folder(), version: 'test', spacing: 20, mostSnapshots: 100 };
    await new History(counting, options).keepUp(new AbortController().signal);
    const ends = snapshotsIn(options.folder).map((path) => BigInt(/(\d+)\.gz$/.exec(path)?.[1] ?? ''));
    expect(ends).toHaveLength(5);
    // The reader of these tests gives seven events at a time.
    const most = BigInt((20 + 7) * 3);
    for (const { from, to } of read) expect([-1n, ...ends].includes(from) && to - from <= most).toBe(true);
  });

  it('leave a snapshot in the making alone, and remove what was left behind over an hour ago', async () => {
    const log = longLog();
    const options = { folder: folder(), version: 'test', spacing: 5 };
    await new History(readerOf(log), options).keepUp(new AbortController().signal);
    const [snapshot = ''] = snapshotsIn(options.folder);
    const minutes = { young: 59, old: 61 };
    for (const [name, age] of Object.entries(minutes)) {
      const path = `${snapshot}.${name}.tmp`;
      writeFileSync(path, 'half of a snapsh');
      const then = new Date(Date.now() - age * 60_000);
      utimesSync(path, then, then);
    }
    const again = new History(readerOf(log), options);
    await again.keepUp(new AbortController().signal);
    expect(existsSync(`${snapshot}.old.tmp`)).toBe(false);
    expect(existsSync(`${snapshot}.young.tmp`)).toBe(true);
    expect(await keysOf(again, {})).toEqual(foldOf(log));
  });

  it('leave nothing of other versions of this program behind, and what belongs to other logs alone', async () => {
    const log = longLog();
    const shared = folder();
    const keep = (version: string, of = log): Promise<void> =>
      new History(readerOf(of), { folder: shared, version, spacing: 5 }).keepUp(new AbortController().signal);
    const other = log.map((one) => ({ ...one, id: one.id.replace(/^0/, '1') }));
    await keep('1.0.0');
    await keep('1.0.0', other);
    await keep('1.1.0');
    expect(readdirSync(shared).sort()).toEqual([`${log[0]?.id}-1.1.0-2`, `${other[0]?.id}-1.0.0-2`]);
  });
});

const longLog = (events = 30): RecordedEvent[] =>
  logOf(Array.from({ length: events }, (_, n) => ({ key: n % 5, kind: 5, ms: 1000 })));

function snapshotsIn(folder: string): string[] {
  const [directory = ''] = readdirSync(folder);
  const names = readdirSync(join(folder, directory)).filter((one) => one.endsWith('.gz'));
  return names.sort().map((name) => join(folder, directory, name));
}

function damage(path: string): void {
  const bytes = readFileSync(path);
  bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 1;
  writeFileSync(path, bytes);
}

it('a line of a snapshot gives its key back, and holds the text that a search for one of its members looks for', () => {
  const [issued] = logOf([{ key: 0, kind: 0, ms: 1 }]);
  const key = advanceKey(undefined, issued as RecordedEvent) as KeyAt;
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      const named = { ...key, state: { ...key.state, owner: { ...key.state.owner, id: text } } };
      const line = lineOf('key0', named);
      expect(line).toMatch(/^[\t -\x7f]*$/);
      expect(line).toContain(`"id":${plainJson(text)}`);
      expect(keyIn(line)).toEqual(named);
    }),
  );
});

describe('an explained verdict', () => {
  it('is the live one, for every history, instant, secret and revision, and names the event that decided it', () => {
    fc.assert(
      fc.property(steps, fc.nat(20 * DAY), fc.nat(60), (given, ms, pick) => {
        const log = logOf(given);
        const at = instantOf(START + ms);
        for (const keyId of new Set(log.map(({ stream }) => stream))) {
          const events = log.filter(({ stream }) => stream === keyId);
          const hashes = [`h${pick}`];
          let live: KeyAt | undefined;
          for (const recorded of events) {
            live = advanceKey(live, recorded);
            const request = { scopes: pick % 2 ? ['a:b'] : ['c:d'] };
            const verdict = judge(live?.state, hashes, request, at);
            const explained = explain(events, { revision: recorded.revision }, () => hashes, request, at);
            expect(explained.verdict).toEqual(verdict);
            const { decidedBy } = explained;
            const before = keyAt(events, { revision: (decidedBy?.revision ?? 0) - 1 });
            if (before) expect(judge(before.state, hashes, request, at).code).not.toBe(verdict.code);
          }
        }
      }),
    );
  });
});

it('a row of the trail shows no hash of a secret', () => {
  const [issued] = logOf([{ key: 0, kind: 0, ms: 1 }]);
  expect(JSON.stringify(trailRow(issued as RecordedEvent, {}))).not.toContain('"h0"');
});
