import { redisNames, type Instant } from '@keyledger/contracts';
import type { RedisLink } from './link.js';

/** The outcome of a rebuild. */
export interface RebuildReport {
  rebuildId: string;
  /** Why it was made: asked for, a new PROJECTION_VERSION, or no complete model in Redis. */
  cause: 'request' | 'version' | 'missing';
  generation: string;
  startedAt: Instant;
  finishedAt: Instant;
  eventsApplied: number;
  /** How many began in those events. */
  keys: number;
  /** Both absent where there was no whole generation to compare with: nobody can verify until the new one is live. */
  digestNew?: string;
  digestLive?: string;
  /** Whether both said the same, once changes in flight had settled. */
  equal?: boolean;
  /** Ids of keys and keyspaces that differed, at most 20 of them. */
  differing: string[];
  differingCount: number;
}

export interface RebuildRequest {
  rebuildId: string;
  requestedAt: Instant;
}

export interface Building {
  generation: string;
  version: number;
  rebuildId: string;
  cause: RebuildReport['cause'];
  startedAt: Instant;
}

/** The hash `kl:{meta}` as it was read. */
export interface Meta {
  live?: { generation: string; version: number };
  building?: Building & { position: bigint };
  /** Was live before; still written for those who have not heard yet. */
  retiring?: string;
  holdsImported: boolean;
  /** The runs of Redis servers for which the live generation is known to be whole. */
  vouched: ReadonlySet<string>;
  position: bigint;
  /** The newest event that is known to be in it, as log-mark.ts writes it; absent where none was noted yet. */
  mark?: string;
  /** Where the newest decision stands that an api has seen in the log. */
  decided?: bigint;
  head?: bigint;
  request?: RebuildRequest & { text: string };
  lastRebuild?: RebuildReport;
}

export function parseMeta(fields: Record<string, string>): Meta {
  const { live, version, building, retiring, request, last, head, mark, decided } = fields;
  return {
    ...(live !== undefined && { live: { generation: live, version: Number(version) } }),
    ...(building !== undefined && {
      building: { ...(JSON.parse(building) as Building), position: positionFrom(fields['buildPosition']) },
    }),
    ...(retiring !== undefined && { retiring }),
    holdsImported: fields['imported'] === '1',
    vouched: new Set((fields['vouched'] ?? '').split(' ').filter((run) => run !== '')),
    position: positionFrom(fields['position']),
    ...(mark !== undefined && { mark }),
    ...(decided !== undefined && { decided: positionFrom(decided) }),
    ...(head !== undefined && { head: positionFrom(head) }),
    ...(request !== undefined && { request: { ...(JSON.parse(request) as RebuildRequest), text: request } }),
    ...(last !== undefined && { lastRebuild: JSON.parse(last) as RebuildReport }),
  };
}

export async function readMeta(link: RedisLink): Promise<Meta> {
  const [fields] = await link.batch([{ call: 'hgetall', key: redisNames.meta }]);
  return parseMeta(fieldsOf(fields));
}

/** Pipelined HGETALL answers in a flat list where `call` is used, in an object where ioredis knows the command. */
export function fieldsOf(reply: unknown): Record<string, string> {
  if (!Array.isArray(reply)) return (reply ?? {}) as Record<string, string>;
  const fields: Record<string, string> = {};
  for (let i = 0; i + 1 < reply.length; i += 2) fields[String(reply[i])] = String(reply[i + 1]);
  return fields;
}

const POSITION_DIGITS = 20;

/** A position as text whose order is the order of positions. */
export function positionText(position: bigint): string {
  return position.toString().padStart(POSITION_DIGITS, '0');
}

export function positionFrom(text: string | undefined | null): bigint {
  return /^\d{1,20}$/.test(text ?? '') ? BigInt(text as string) : 0n;
}

/** The generations that a build of this code may write: never one that was made by a newer projection. */
export function writableGenerations(meta: Meta, version: number): string[] {
  if (meta.live && meta.live.version > version) return [];
  const building = meta.building && meta.building.version <= version ? meta.building.generation : undefined;
  return [meta.live?.generation, building, meta.retiring].filter((one) => one !== undefined);
}
