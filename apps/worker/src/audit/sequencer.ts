import { streams, type CheckpointSigned } from '@keyledger/contracts';
import {
  CheckpointLog,
  formatCheckpoint,
  formatVerifierKey,
  objectionTo,
  openCheckpoint,
  signCheckpoint,
  type Checkpoint,
  type FileTiles,
  type Keyring,
  type Objection,
  type RecordedCheckpoint,
  type TreeFollower,
} from '@keyledger/audit';
import { RevisionConflict, type EventStore } from '@keyledger/event-store';
import { newId, systemClock, uuidFrom, type Logger } from '@keyledger/platform';
import { mkdir, readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Mismatches } from './mismatches.js';
import { replace, type Place } from './places.js';

export interface SequencerMeans {
  store: EventStore;
  follower: TreeFollower;
  keyring: Keyring;
  origin: string;
  intervalMs: number;
  places: readonly Place[];
  /** The newest note of this worker, beside the tree and not part of it: knows of a restore that lost events. */
  memory: string;
  mismatches: Mismatches;
  logger: Logger;
}

export interface SequencerState {
  /** Leaves below the newest checkpoint. */
  signed: number;
  signedAt: number | undefined;
  /** By place: leaves of the newest checkpoint that is there, and what went wrong with the last try. */
  places: { name: string; published: number; failing: boolean }[];
}

const TREE_WITHIN_MS = 5000;
const FIRST_LOOK_MS = 1000;

/**
 * Signs the head of the audit tree every so often, if anything but checkpoints has come, and publishes what was signed.
 * Before it signs it proves that the tree goes on from every checkpoint that it can get hold of: the newest one in the
 * log, its own memory, and what the places outside have. If one contradicts, nothing is signed and somebody is told.
 */
export class Sequencer {
  private readonly checkpoints: CheckpointLog;
  private readonly published = new Map<Place, { size: number; failing: boolean }>();
  private signed: RecordedCheckpoint | undefined;
  private failing = false;
  /** Once a process it looks even without news: a log that was restored to an older state is told at its start. */
  private judged = false;

  constructor(private readonly means: SequencerMeans) {
    this.checkpoints = new CheckpointLog(means.store);
    for (const place of means.places) this.published.set(place, { size: 0, failing: false });
  }

  state(): SequencerState {
    const places = [...this.published].map(([{ name }, { size, failing }]) => ({ name, published: size, failing }));
    const { signed } = this;
    return { signed: signed?.size ?? 0, signedAt: signed && Date.parse(signed.signedAt), places };
  }

  /** Works until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const { intervalMs, logger } = this.means;
    await pause(Math.min(FIRST_LOOK_MS, intervalMs), signal);
    while (!signal.aborted) {
      try {
        await this.look();
        this.failing = false;
      } catch (error) {
        if (signal.aborted) return;
        if (!this.failing) logger.warn({ err: error }, 'no checkpoint could be signed; it is tried again');
        this.failing = true;
      }
      await pause(intervalMs, signal);
    }
  }

  /** One round: signs if there is something to sign, and brings the newest checkpoint to where it is missing. */
  private async look(): Promise<void> {
    const tree = await this.means.follower.caughtUp(TREE_WITHIN_MS);
    if (!tree) throw new Error('the audit tree is not as far as the log yet');
    const last = await this.checkpoints.newest();
    this.signed = last;
    const news = await isNews(tree, last);
    if (news || !this.judged) await this.judgeAndSign(tree, last, news);
    if (this.signed) await this.publish(this.signed);
  }

  private async judgeAndSign(tree: FileTiles, last: RecordedCheckpoint | undefined, news: boolean): Promise<void> {
    const { keyring, origin, mismatches, follower, logger } = this.means;
    const { signer, trusted } = keyring;
    if (!signer) return;
    const { size, root, position } = tree.head;
    const next = { origin, size, root };
    const objections = await this.objections(next, last, tree);
    if (objections.length > 0 && follower.state().rebuilds === 0) {
      // Before the log is suspected, the hashes beside it are: they are made again, once.
      logger.warn(
        { objections: objections.map(({ message }) => message) },
        'the audit tree is made again before it is judged',
      );
      follower.rebuild();
      return;
    }
    await mismatches.report('sequencer', objections);
    this.judged = true;
    if (objections.length > 0 || !news) return;
    const note = signCheckpoint(next, [signer]);
    const data: CheckpointSigned['data'] = {
      size,
      root: root.toString('base64'),
      origin,
      note,
      keys: trusted.map(formatVerifierKey),
      position: String(position),
      signedAt: systemClock(),
    };
    // Written down before anybody else can hear of it: a checkpoint that was given out is never forgotten.
    await this.remember(note);
    this.signed = (await this.append(data, last)) ?? this.signed;
  }

  /** `undefined`: another worker was first. */
  private async append(
    data: CheckpointSigned['data'],
    last: RecordedCheckpoint | undefined,
  ): Promise<RecordedCheckpoint | undefined> {
    const commandId = `checkpoint ${data.size}`;
    const requestId = newId();
    const metadata = {
      schemaVersion: 1,
      commandId,
      actor: { type: 'system' as const, id: 'audit' },
      reason: 'the head of the audit log is signed',
      requestId,
      $correlationId: requestId,
      $causationId: commandId,
    };
    const id = uuidFrom(`${data.note}\n${data.signedAt}`);
    try {
      const events = [{ id, type: 'CheckpointSigned' as const, data, metadata }];
      const appended = await this.means.store.append(streams.auditCheckpoint, last?.revision ?? -1, events);
      return { ...data, revision: appended.revision, recordedPosition: appended.position };
    } catch (error) {
      if (error instanceof RevisionConflict) return undefined;
      throw error;
    }
  }

  private async objections(
    next: Checkpoint,
    last: RecordedCheckpoint | undefined,
    tree: FileTiles,
  ): Promise<Objection[]> {
    const earlier: [note: string, where: string][] = [];
    if (last) earlier.push([last.note, 'in the log']);
    const remembered = await readIfThere(this.means.memory);
    if (remembered !== undefined) earlier.push([remembered, 'in the memory of this worker']);
    for (const place of this.means.places) {
      const note = await place.latest().catch(() => undefined);
      if (note !== undefined) earlier.push([note, `at ${place.name}`]);
    }
    const objections: Objection[] = [];
    for (const [note, where] of new Map(earlier)) {
      const objection = await objectionTo(next, note, where, this.means.keyring.trusted, tree);
      if (objection) objections.push(objection);
    }
    return objections;
  }

  /** To every place that has not got it. One that fails is tried again in the next round. */
  private async publish({ note, size, root, origin }: RecordedCheckpoint): Promise<void> {
    const { keyring, logger } = this.means;
    if (!isOwn(note, { origin, size, root: Buffer.from(root, 'base64') }, keyring)) return;
    await Promise.all(
      [...this.published].map(async ([place, told]) => {
        if (told.size >= size) return;
        try {
          await this.publishAt(place, note, size);
          this.published.set(place, { size, failing: false });
        } catch (error) {
          if (!told.failing)
            logger.error({ err: error, place: place.name, size }, 'a checkpoint could not be published');
          this.published.set(place, { size: told.size, failing: true });
        }
      }),
    );
  }

  /** Never over one that is larger or not ours: what is there may be the only trace of another history. */
  private async publishAt(place: Place, note: string, size: number): Promise<void> {
    const there = await place.latest();
    if (there !== undefined && there !== note) {
      const latest = openCheckpoint(there, this.means.keyring.trusted);
      if (latest.size >= size) throw new Error(`it has a checkpoint of ${latest.size} leaves already`);
    }
    await place.publish(note, size);
  }

  private async remember(note: string): Promise<void> {
    const { memory } = this.means;
    await mkdir(dirname(memory), { recursive: true });
    await replace(memory, note);
  }
}

/**
 * Whether anything but checkpoints has come since the last one. Of what lies behind its tree, its own event is one leaf,
 * if the tree has come so far.
 */
async function isNews(tree: FileTiles, last: RecordedCheckpoint | undefined): Promise<boolean> {
  const { size } = tree.head;
  if (!last) return size > 0;
  const own = (await tree.indexOf(last.recordedPosition)) === undefined ? 0 : 1;
  return size - last.size - own > 0 || size < last.size;
}

/** What somebody else put into the stream of checkpoints is not spread. */
function isOwn(note: string, { origin, size, root }: Checkpoint, { trusted }: Keyring): boolean {
  try {
    const opened = openCheckpoint(note, trusted);
    return formatCheckpoint(opened) === formatCheckpoint({ origin, size, root });
  } catch {
    // Refused as signed by nobody we trust, which the next signature will be refused for, with the evidence.
    return false;
  }
}

async function readIfThere(path: string): Promise<string | undefined> {
  return readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal, ref: false }).catch(() => undefined);
}
