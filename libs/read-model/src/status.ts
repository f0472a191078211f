import { redisNames, type Instant } from '@keyledger/contracts';
import { coveredBy, HEARTBEAT_READ, parseHeartbeat, runsNow } from './heartbeat.js';
import type { RedisLink } from './link.js';
import { fieldsOf, parseMeta, type Meta, type RebuildReport } from './meta.js';
import { PROJECTION_VERSION } from './projection.js';

export interface RebuildStatus {
  /** `requested`: waits for a worker. */
  state: 'idle' | 'requested' | 'building';
  /** What is asked for or built. */
  rebuildId?: string;
  requestedAt?: Instant;
  building?: { generation: string; position: string; startedAt: Instant; cause: RebuildReport['cause'] };
  lastRebuild?: RebuildReport;
}

export interface ProjectionStatus {
  /** The live generation; absent while there is none. */
  generation?: string;
  /** The version of the projection that made it, and the one that this process has. */
  projectionVersion?: number;
  expectedVersion: number;
  /** Everything at or before this position of the log is in the live generation. Decimal digits. */
  position: string;
  /** The newest position that the worker has heard of, and how far the model is behind it. */
  head?: string;
  lag?: string;
  /** How long ago a worker said that the model is current; absent: longer ago than the bound, or never. */
  heartbeatAgeMs?: number;
  /** Whether answers count: false from a restart of Redis until a worker has seen to what it may have lost. */
  current: boolean;
  rebuild: RebuildStatus;
}

export async function statusOf(link: RedisLink): Promise<ProjectionStatus> {
  const [fields, text, leftMs] = await link.batch([{ call: 'hgetall', key: redisNames.meta }, ...HEARTBEAT_READ]);
  const meta = parseMeta(fieldsOf(fields));
  const heartbeat = parseHeartbeat(text, leftMs);
  const runs = runsNow(link);
  const { live, position, head } = meta;
  return {
    ...(live && { generation: live.generation, projectionVersion: live.version }),
    expectedVersion: PROJECTION_VERSION,
    position: String(position),
    ...(head !== undefined && { head: String(head), lag: String(head > position ? head - position : 0n) }),
    ...(heartbeat && { heartbeatAgeMs: heartbeat.ageMs }),
    current: live !== undefined && runs !== undefined && heartbeat !== undefined && coveredBy(runs, heartbeat.runs),
    rebuild: rebuildOf(meta),
  };
}

function rebuildOf({ building, request, lastRebuild }: Meta): RebuildStatus {
  const last = lastRebuild ? { lastRebuild } : {};
  if (building) {
    const { generation, position, startedAt, cause, rebuildId } = building;
    return {
      state: 'building',
      rebuildId,
      building: { generation, position: String(position), startedAt, cause },
      ...last,
    };
  }
  if (request) return { state: 'requested', rebuildId: request.rebuildId, requestedAt: request.requestedAt, ...last };
  return { state: 'idle', ...last };
}
