import {
  streams,
  type ChannelAudience,
  type ChannelEvent,
  type KeyEvent,
  type KeyspaceEvent,
  type RecordedEvent,
} from '@keyledger/contracts';
import { channelDecider, evolveKey, fold, keyDecider, type KeyspaceState, type KeyState } from '@keyledger/domain';
import type { Decisions, EventBatch } from '@keyledger/event-store';
import type { ChannelDirectory, DeadlineEntry, Projected, ReadModel } from '@keyledger/read-model';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ClockCheck } from '../clock-check.js';
import type { Reactor } from '../reactor.js';
import type { Keyspaces } from './keyspaces.js';
import type { Rounds } from './rounds.js';
import type { Standing } from './standing.js';

const LOADS_AT_ONCE = 16;
const PAGE = 500;
const WAIT_MS = 50;
const LONGEST_WAIT_MS = 30_000;
const KEY_STREAM = streams.key('');

/** Follows all that has a say in when a key must be looked at next, and states it in the index. */
export class Timekeeper implements Reactor {
  readonly name = 'timekeeper';
  readonly streamPrefixes = ['key-', 'keyspace-', 'channel-'];

  constructor(
    private readonly parts: {
      rounds: Rounds;
      keyspaces: Keyspaces;
      standing: Standing;
      channels: ChannelDirectory;
      decisions: Decisions;
      readModel: ReadModel;
      clock: ClockCheck;
      /** Resolves when the jobs about these keys that this process has at hand have ended. */
      settled: (keyIds: readonly string[]) => Promise<void>;
    },
  ) {}

  /** @throws ClockOff, and whatever a store throws: the batch comes again */
  async react({ events, position }: EventBatch): Promise<void> {
    const keys = new Map<string, RecordedEvent<KeyEvent>[]>();
    for (const recorded of events) {
      const { stream, revision, event } = recorded;
      if (stream.startsWith(KEY_STREAM)) {
        const keyId = stream.slice(KEY_STREAM.length);
        const before = keys.get(keyId);
        if (before) before.push(recorded as RecordedEvent<KeyEvent>);
        else keys.set(keyId, [recorded as RecordedEvent<KeyEvent>]);
      } else if ('keyspaceId' in event.data && event.type.startsWith('Keyspace')) {
        this.parts.keyspaces.note({ stream, revision, event } as RecordedEvent<KeyspaceEvent>);
      }
    }
    // Before any deadline that depends on a receiver: the directory may be behind this loop.
    const channels = events.filter(({ stream }) => stream.startsWith('channel-')) as RecordedEvent<ChannelEvent>[];
    await this.hearOf(channels);
    await this.settle(keys);
    for (const query of await this.touchedBy(events, channels)) await this.settleAll(query, position);
  }

  private async hearOf(channels: readonly RecordedEvent<ChannelEvent>[]): Promise<void> {
    const last = channels.at(-1)?.position ?? 0n;
    if (!(await this.parts.channels.at(last))) throw new Error('the channels are not known yet');
  }

  /** Whose deadlines a change of something else than a key moves. */
  private async touchedBy(
    events: readonly RecordedEvent[],
    channels: readonly RecordedEvent<ChannelEvent>[],
  ): Promise<KeysOf[]> {
    const touched = new Map<string, KeysOf>();
    for (const { event } of events) {
      const isPolicy = event.type === 'KeyspacePolicyChanged' && event.data.changes.policy !== undefined;
      if (!isPolicy && event.type !== 'KeyspaceArchived' && event.type !== 'KeyspaceCreated') continue;
      const { keyspaceId } = event.data;
      touched.set(keyspaceId, { within: [keyspaceId] });
    }
    for (const channelId of new Set(channels.map(({ event }) => event.data.channelId))) {
      const { state } = await this.parts.decisions.load(channelDecider, streams.channel(channelId));
      if (state?.type === 'receiver') touched.set(channelId, keysOf(state.audience));
    }
    return [...touched.values()];
  }

  private async settleAll(query: KeysOf, position: bigint): Promise<void> {
    const { readModel, clock } = this.parts;
    await this.readModelAt(position);
    for (let cursor: string | undefined, first = true; first || cursor !== undefined; first = false) {
      const page = await readModel.listKeys({
        ...query,
        now: clock.now(),
        limit: PAGE,
        ...(cursor !== undefined && { cursor }),
      });
      await this.state(page.items);
      cursor = page.nextCursor;
    }
  }

  /** Keys that the read model does not list yet have events before this position, and would keep an old deadline. */
  private async readModelAt(position: bigint): Promise<void> {
    for (let waited = 0; ; waited += WAIT_MS) {
      const { readModel } = this.parts;
      const status = await readModel.projectionStatus();
      const isThere = BigInt(status.position) >= position || status.lag === '0';
      // As after a first start, when nobody has vouched for the read model yet.
      if (isThere && readModel.view().fresh) return;
      if (waited > LONGEST_WAIT_MS) throw new Error('the read model is too far behind');
      await sleep(WAIT_MS);
    }
  }

  private async settle(events: ReadonlyMap<string, readonly RecordedEvent<KeyEvent>[]>): Promise<void> {
    const { index } = this.parts.rounds;
    const stated = ({ keyId, revision }: { keyId: string; revision: number }): boolean => index.holds(keyId, revision);
    const changed = [...events].map(([keyId, own]) => ({ keyId, own, revision: own.at(-1)?.revision ?? 0 }));
    // Nearly everything that a job of this process has caused that job states.
    const unstated = changed.filter((one) => !stated(one));
    if (unstated.length === 0) return;
    await this.parts.settled(unstated.map(({ keyId }) => keyId));
    const open = unstated.filter((one) => !stated(one));
    if (open.length === 0) return;
    const born = open.flatMap(({ own }) => bornWith(own) ?? []);
    const others = open.filter(({ own }) => !bornWith(own));
    await this.state([...born, ...(await this.keysAt(others))]);
  }

  /** From the read model where it has that revision, else from the events. */
  private async keysAt(keys: readonly { keyId: string; revision: number }[]): Promise<Projected<KeyState>[]> {
    const { readModel, decisions } = this.parts;
    const found = await readModel.foldedKeys(keys.map(({ keyId }) => keyId));
    const known: (Projected<KeyState> | undefined)[] = found.filter(
      (key, index) => key && key.revision >= (keys[index]?.revision ?? 0),
    );
    const behind = keys.filter(({ revision }, index) => (found[index]?.revision ?? -1) < revision);
    for (let from = 0; from < behind.length; from += LOADS_AT_ONCE) {
      const loads = behind.slice(from, from + LOADS_AT_ONCE).map(async ({ keyId }) => {
        const { state, revision } = await decisions.load(keyDecider, streams.key(keyId));
        return state && { state, revision };
      });
      known.push(...(await Promise.all(loads)));
    }
    return known.filter((key) => key !== undefined);
  }

  private async state(keys: readonly Projected<KeyState>[]): Promise<void> {
    const { rounds, keyspaces, standing, clock } = this.parts;
    const now = clock.now();
    // The first management key is there before its keyspace, whose creation has its keys looked at again.
    const placed: { state: KeyState; revision: number; keyspace: KeyspaceState }[] = [];
    const entries: DeadlineEntry[] = [];
    for (const { state, revision } of keys) {
      const keyspace = keyspaces.peek(state.keyspaceId) ?? (await keyspaces.find(state.keyspaceId));
      if (keyspace) placed.push({ state, revision, keyspace });
      else entries.push({ id: state.keyId, revision });
    }
    const next = await standing.nextOfAll(placed, now);
    for (const [nth, { state, revision }] of placed.entries()) {
      entries.push({ id: state.keyId, at: next[nth], revision });
    }
    await rounds.put(entries, now);
  }
}

/** A key whose first events these are: all that there is to know of it. */
function bornWith(events: readonly RecordedEvent<KeyEvent>[]): Projected<KeyState> | undefined {
  if (events[0]?.revision !== 0) return undefined;
  const state = fold<KeyState | undefined, KeyEvent>(
    evolveKey,
    keyDecider.initialState,
    events.map(({ event }) => event),
  );
  return state && { state, revision: events.at(-1)?.revision ?? 0 };
}

interface KeysOf {
  within: 'all' | string[];
  owner?: string;
}

function keysOf(audience: ChannelAudience): KeysOf {
  if (audience === 'system') return { within: 'all' };
  const within = 'keyspaceId' in audience ? [audience.keyspaceId] : ('all' as const);
  return audience.ownerId === undefined ? { within } : { within, owner: audience.ownerId };
}
