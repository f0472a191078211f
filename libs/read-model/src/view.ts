import { REDIS_TAGS, redisNames } from '@keyledger/contracts';
import { setTimeout as sleep } from 'node:timers/promises';
import { HEARTBEAT_READ, parseHeartbeat, type Heartbeat } from './heartbeat.js';
import type { RedisLink } from './link.js';
import { fieldsOf, parseMeta, type Meta } from './meta.js';
import type { UnavailableReason } from './unavailable.js';

/** The read model as this process knows it. */
export interface ReadModelView {
  /** The live generation. */
  generation?: string;
  /** The PROJECTION_VERSION of what folded it. */
  version?: number;
  /** Whether its answers count. */
  fresh: boolean;
  /** Why not. */
  reason?: UnavailableReason;
  /** How far through the log is what will count: the generation that is being built, or else the live one. */
  reached?: bigint;
  /** Whether any imported key exists; until then imported secrets need not be looked up. */
  holdsImported: boolean;
}

const REFRESH_MS = 250;
const START_WITHIN_MS = 2000;
const START_PAUSE_MS = 10;
/** A view that could not be refreshed for this long does not count. A retiring generation is written for longer. */
export const VIEW_MAX_AGE_MS = 1000;

const NOTHING_KNOWN: ReadModelView = Object.freeze({ fresh: false, reason: 'unreachable', holdsImported: false });

/** Keeps a view of the read model by asking Redis four times a second. */
export class ViewKeeper {
  private current = NOTHING_KNOWN;
  private readAt = -Infinity;
  private importedAt: number | undefined;
  private lastFailed = false;
  private heartbeat: Heartbeat | undefined;
  private timer: NodeJS.Timeout | undefined;
  private running = false;
  private refreshing: Promise<void> | undefined;

  constructor(
    private readonly link: RedisLink,
    private readonly maxStalenessMs: number,
  ) {}

  /** Begins to refresh; resolves once Redis has answered, and without an answer after two seconds all the same. */
  async start(): Promise<void> {
    if (this.running) return;
    this.running = true;
    const giveUpAt = performance.now() + START_WITHIN_MS;
    for (;;) {
      await this.refresh();
      const known = !this.lastFailed && REDIS_TAGS.some((tag) => this.link.runOf(tag) !== undefined);
      if (known || !this.running || performance.now() > giveUpAt) break;
      await sleep(START_PAUSE_MS);
    }
    this.schedule();
  }

  stop(): void {
    this.running = false;
    clearTimeout(this.timer);
  }

  /** What was last known, and not fresh if that is too long ago. */
  view(): ReadModelView {
    return performance.now() - this.readAt <= VIEW_MAX_AGE_MS ? this.current : NOTHING_KNOWN;
  }

  /** The view, asked for anew if it has only grown old, as after a pause of this process. */
  async renewed(): Promise<ReadModelView> {
    if (performance.now() - this.readAt > VIEW_MAX_AGE_MS && !this.lastFailed) await this.refresh();
    return this.view();
  }

  /** Since when, by `performance.now()`, it is known here that there are imported keys; now, if it was not. */
  importedSince(): number {
    this.importedAt ??= performance.now();
    return this.importedAt;
  }

  /** Whether the server that answers for this hash tag is one for which a projector has vouched. */
  trusts(tag: string): boolean {
    const run = this.link.runOf(tag);
    return run !== undefined && this.heartbeat !== undefined && this.heartbeat.runs.has(run);
  }

  /** Reads what there is to know now. Never fails: a Redis that does not answer makes the view age. */
  private refresh(): Promise<void> {
    this.refreshing ??= this.read().finally(() => {
      this.refreshing = undefined;
    });
    return this.refreshing;
  }

  private async read(): Promise<void> {
    const askedAt = performance.now();
    try {
      const [fields, text, leftMs] = await this.link.batch([
        { call: 'hgetall', key: redisNames.meta },
        ...HEARTBEAT_READ,
      ]);
      this.heartbeat = parseHeartbeat(text, leftMs);
      this.current = this.viewOf(parseMeta(fieldsOf(fields)));
      this.readAt = askedAt;
      this.lastFailed = false;
    } catch {
      this.lastFailed = true;
    }
  }

  private viewOf(meta: Meta): ReadModelView {
    const { holdsImported, building } = meta;
    const reached = building?.position ?? meta.position;
    this.importedAt = holdsImported ? (this.importedAt ?? performance.now()) : undefined;
    if (!meta.live && !building) return { fresh: false, reason: 'missing', holdsImported };
    if (!meta.live) return { fresh: false, reason: 'rebuilding', reached, holdsImported };
    const { generation, version } = meta.live;
    const { heartbeat } = this;
    // On a Cluster a part may be vouched for while another is not: lookups ask again for their own part.
    const vouched = heartbeat && heartbeat.ageMs <= this.maxStalenessMs && REDIS_TAGS.some((tag) => this.trusts(tag));
    if (vouched) return { generation, version, fresh: true, holdsImported };
    return { generation, fresh: false, reason: 'stale', reached, holdsImported };
  }

  private schedule(): void {
    if (!this.running) return;
    this.timer = setTimeout(() => {
      void this.refresh().then(() => this.schedule());
    }, REFRESH_MS);
  }
}
