import { AUDITED_STREAM_PREFIXES, streams } from '@keyledger/contracts';
import type { EventStore, StoredEvent } from '@keyledger/event-store';
import type { Misfit } from './bundle-range.js';
import { openCheckpoint } from './checkpoint.js';
import { hashOfEvent, Malformed } from './envelope.js';
import { Frontier } from './frontier.js';
import { proveInclusion, rootAt, verifyInclusion, type Hash, type HashStore } from './merkle.js';
import { NoteRefused, parseVerifierKey, unverifiedText, formatVerifierKey, type VerifierKey } from './note.js';
import { StreamRevisions } from './revisions.js';

/** What is wrong with a log. */
export type LogFinding =
  | Misfit
  | {
      /** The events of a stream are not numbered one by one. */
      code: 'REVISION_GAP';
      message: string;
      index: number;
      id?: string;
      stream?: string;
      revision?: number;
      type?: string;
    }
  | {
      /**
       * `CHECKPOINT_REFUSED`: signed by no trusted key, or does not say what is recorded beside it. `FORK`: two trees of
       * one size. `ROLLBACK`: a smaller tree signed after a larger one, or a larger one than the log is.
       * `CHECKPOINT_MISFIT`: not the tree that the events make.
       */
      code: 'CHECKPOINT_REFUSED' | 'FORK' | 'ROLLBACK' | 'CHECKPOINT_MISFIT';
      message: string;
      evidence: string[];
    };

export interface LogReport {
  ok: boolean;
  /** Where the keys came from. `log`: whoever rewrote the log may have made them as well. */
  trust: 'given' | 'log';
  keys: string[];
  events: number;
  root: string;
  /** Recorded in the log, and brought from outside. */
  checkpoints: { recorded: number; published: number };
  /** The largest checkpoint that the events fit; events behind it are proved by nothing yet. */
  provedTo?: { size: number; root: string };
  /** The first event that does not fit comes before everything else. */
  findings: LogFinding[];
}

export interface LogCheckOptions {
  store: Pick<EventStore, 'readStored'>;
  /** Keys that came some other way than the log. */
  trusted?: readonly VerifierKey[];
  /** Checkpoints that were published outside, and where each was found. */
  published?: AsyncIterable<{ file: string; note: string }>;
  /** Hashes as they were when the events came in: with them the event is named, else the stretch it is in. */
  tree?: HashStore & { readonly head: { readonly size: number } };
  signal?: AbortSignal;
  onProgress?: (events: number) => void;
}

/** Of what is found of one kind, so many are told. */
const FINDINGS_OF_A_KIND = 20;
const BATCH = 500;

interface Claim {
  size: number;
  root: Hash;
  note: string;
  where: string;
}

/**
 * Recomputes the audit tree from the events as they are stored now, and compares it with every checkpoint that was ever
 * recorded or published. Two passes over the log, at a memory that grows with streams and checkpoints (some ten bytes
 * a stream, some hundred a checkpoint), not with events.
 * @throws what reading throws; what is wrong with the log is in the report
 */
export async function checkLog(options: LogCheckOptions): Promise<LogReport> {
  return new LogCheck(options).run();
}

class LogCheck {
  private readonly findings: LogFinding[] = [];
  private readonly told = new Map<string, number>();
  /** By size; the first one that claims it. Others of the same size say the same, or are a `FORK`. */
  private readonly claims = new Map<number, Claim>();
  private keys: VerifierKey[];
  private recorded = 0;
  private published = 0;
  private firstMisfit: Misfit | undefined;
  private largestFitting: { size: number; root: Hash } | undefined;
  private largestRecorded: Claim | undefined;

  constructor(private readonly options: LogCheckOptions) {
    this.keys = [...(options.trusted ?? [])];
  }

  async run(): Promise<LogReport> {
    await this.readRecorded();
    for await (const { file, note } of this.options.published ?? []) {
      this.published += 1;
      this.claim(note, file);
    }
    const frontier = await this.walk();
    this.judgeBeyond(frontier.size);
    const findings = this.firstMisfit ? [this.firstMisfit, ...this.findings] : this.findings;
    return {
      ok: findings.length === 0,
      trust: this.options.trusted ? 'given' : 'log',
      keys: this.keys.map(formatVerifierKey),
      events: frontier.size,
      root: frontier.root().toString('base64'),
      checkpoints: { recorded: this.recorded, published: this.published },
      ...(this.largestFitting && {
        provedTo: { size: this.largestFitting.size, root: this.largestFitting.root.toString('base64') },
      }),
      findings,
    };
  }

  /** The checkpoints that stand in the log, oldest first. */
  private async readRecorded(): Promise<void> {
    for await (const batch of this.read([streams.auditCheckpoint])) {
      for (const event of batch) {
        if (event.type !== 'CheckpointSigned') continue;
        this.recorded += 1;
        this.takeRecorded(event);
      }
    }
  }

  private takeRecorded(event: StoredEvent): void {
    const data = (event.data ?? {}) as Record<string, unknown>;
    const where = `recorded as revision ${event.revision} of ${event.stream}`;
    const note = String(data['note']);
    if (!this.options.trusted) this.learn(data['keys']);
    const claim = this.claim(note, where);
    if (!claim) return;
    if (claim.size !== data['size'] || claim.root.toString('base64') !== data['root']) {
      this.find({
        code: 'CHECKPOINT_REFUSED',
        message: `the checkpoint ${where} is not the one beside it`,
        evidence: [note],
      });
    }
    const before = this.largestRecorded;
    if (before && claim.size < before.size) {
      const message = `a tree of ${claim.size} leaves is ${where}, after one of ${before.size}`;
      this.find({ code: 'ROLLBACK', message, evidence: [before.note, note] });
    } else this.largestRecorded = claim;
  }

  /** Without keys from elsewhere those in the log are believed, as they are for nothing but oversights. */
  private learn(keys: unknown): void {
    for (const text of Array.isArray(keys) ? keys : []) {
      try {
        const key = parseVerifierKey(String(text));
        if (!this.keys.some(({ name, id }) => name === key.name && id === key.id)) this.keys.push(key);
      } catch (error) {
        if (!(error instanceof Malformed)) throw error;
      }
    }
  }

  private claim(note: string, where: string): Claim | undefined {
    try {
      const { size, root } = openCheckpoint(note, this.keys);
      const claim = { size, root, note, where };
      const same = this.claims.get(size);
      if (same && !same.root.equals(root)) {
        const message = `two different trees of ${size} leaves were signed: ${same.where}, and ${where}`;
        this.find({ code: 'FORK', message, evidence: [same.note, note] });
      }
      if (!same) this.claims.set(size, claim);
      return claim;
    } catch (error) {
      if (!(error instanceof NoteRefused) && !(error instanceof Malformed)) throw error;
      this.find({
        code: 'CHECKPOINT_REFUSED',
        message: `the checkpoint ${where}: ${error.message}`,
        evidence: this.evidenceFor(note),
      });
      return undefined;
    }
  }

  /** A note that is refused, and the one of ours that speaks of the same size, if there is one. */
  private evidenceFor(note: string): string[] {
    try {
      const [, size = ''] = unverifiedText(note).split('\n');
      const ours = this.claims.get(Number(size));
      return ours ? [ours.note, note] : [note];
    } catch (error) {
      if (!(error instanceof NoteRefused)) throw error;
      return [note];
    }
  }

  private async walk(): Promise<Frontier> {
    const frontier = Frontier.empty();
    const revisions = new StreamRevisions();
    let reference = await this.trustedTree();
    let position = -1n;
    let fittingTo = 0;
    for await (const batch of this.read(AUDITED_STREAM_PREFIXES)) {
      const recorded = reference ? await hashesOf(reference, frontier.size, batch.length) : [];
      for (const [offset, event] of batch.entries()) {
        const index = frontier.size;
        const hash = hashOfEvent(index, event);
        frontier.append(hash);
        if (event.position <= position) {
          this.misfit(
            'EVENT_FAULTY',
            `event ${index} has position ${event.position}, the one before it ${position}`,
            index,
            event,
          );
        }
        position = event.position;
        const expected = revisions.take(event.stream, event.revision);
        if (expected !== event.revision) {
          const message = `${event.stream} goes on with revision ${event.revision} where ${expected} was to come`;
          this.find({ code: 'REVISION_GAP', message, index, ...identityOf(event) });
        }
        const before = recorded[offset];
        if (before && reference && !before.equals(hash) && !this.firstMisfit) {
          if (await this.isProved(index, before, reference)) {
            this.misfit('EVENT_CHANGED', `event ${index} is not as it was recorded`, index, event);
          }
          reference = undefined;
        }
        const claim = this.claims.get(frontier.size);
        if (claim) fittingTo = this.judge(claim, frontier, fittingTo, event);
      }
      this.options.onProgress?.(frontier.size);
    }
    return frontier;
  }

  private judge(claim: Claim, frontier: Frontier, fittingTo: number, event: StoredEvent): number {
    const { size, root, note, where } = claim;
    if (frontier.root().equals(root)) {
      this.largestFitting = { size, root };
      return size;
    }
    this.find({
      code: 'CHECKPOINT_MISFIT',
      message: `the tree of ${size} leaves ${where} is not the one that the events make`,
      evidence: [note],
    });
    if (this.firstMisfit) return fittingTo;
    const stretch = fittingTo + 1 === size ? `event ${fittingTo}` : `one of the events ${fittingTo} to ${size - 1}`;
    const which = fittingTo + 1 === size ? event : undefined;
    this.misfit(
      'EVENT_UNPROVED',
      `${stretch} is not as it was signed, or one is missing or added there`,
      fittingTo,
      which,
    );
    return fittingTo;
  }

  private judgeBeyond(size: number): void {
    const beyond = [...this.claims.values()].filter((claim) => claim.size > size).sort((a, b) => a.size - b.size);
    const [first] = beyond;
    if (!first) return;
    this.misfit(
      'EVENT_MISSING',
      `the log ends behind event ${size - 1}; a tree of ${first.size} leaves was signed`,
      size,
    );
    for (const { size: larger, note, where } of beyond) {
      const ours = this.largestRecorded && this.largestRecorded.size <= size ? [this.largestRecorded.note] : [];
      const message = `a tree of ${larger} leaves is ${where}; the log has ${size} events now`;
      this.find({ code: 'ROLLBACK', message, evidence: [note, ...ours] });
    }
  }

  /** The kept hashes, if they make a signed tree: then each of them can be proved. */
  private async trustedTree(): Promise<LogCheckOptions['tree']> {
    const { tree } = this.options;
    if (!tree) return undefined;
    let largest = 0;
    for (const size of this.claims.keys()) if (size <= tree.head.size && size > largest) largest = size;
    const claim = this.claims.get(largest);
    if (!claim || largest === 0) return undefined;
    try {
      return (await rootAt(largest, tree)).equals(claim.root) ? tree : undefined;
    } catch {
      // Hashes that cannot be read are no reference; that they are not whole is nothing against the log.
      return undefined;
    }
  }

  private async isProved(index: number, hash: Hash, tree: HashStore): Promise<boolean> {
    const larger = [...this.claims.values()].filter(({ size }) => size > index);
    for (const { size, root } of larger.slice(0, 3)) {
      const proof = await proveInclusion(index, size, tree).catch(() => undefined);
      if (proof && verifyInclusion(index, size, hash, proof, root)) return true;
    }
    return false;
  }

  private read(streamPrefixes: readonly string[]): AsyncGenerator<StoredEvent[], void, undefined> {
    const { store, signal } = this.options;
    return store.readStored({ after: 'start', streamPrefixes, maxBatch: BATCH, ...(signal && { signal }) });
  }

  private misfit(code: Misfit['code'], message: string, index: number, event?: StoredEvent): void {
    if (this.firstMisfit && this.firstMisfit.index <= index) return;
    this.firstMisfit = { code, message, index, ...(event && identityOf(event)) };
  }

  private find(finding: LogFinding): void {
    const told = (this.told.get(finding.code) ?? 0) + 1;
    this.told.set(finding.code, told);
    if (told <= FINDINGS_OF_A_KIND) this.findings.push(finding);
  }
}

function identityOf({
  id,
  stream,
  revision,
  type,
}: StoredEvent): Pick<StoredEvent, 'id' | 'stream' | 'revision' | 'type'> {
  return { id, stream, revision, type };
}

/** As many of the kept hashes as there are. */
async function hashesOf(tree: NonNullable<LogCheckOptions['tree']>, from: number, amount: number): Promise<Hash[]> {
  const there = Math.max(0, Math.min(amount, tree.head.size - from));
  const ids = Array.from({ length: there }, (_, offset) => ({ level: 0, index: from + offset }));
  return tree.nodes(ids).catch(() => []);
}
