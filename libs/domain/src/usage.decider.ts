import type { Instant, KeyUsageRecorded, SecretUse, UsageEvent } from '@keyledger/contracts';
import type { KeyUsage } from './deadlines.js';
import { accept, type Decider } from './decider.js';

/** Of how many secrets of a key the use is remembered: those that can be good, and some that are over. */
export const USED_SECRETS_KEPT = 8;

export interface RecordUsage {
  type: 'RecordUsage';
  keyId: string;
  /** What was counted from the beginning up to now, not since the last time. */
  usage: KeyUsage;
  now: Instant;
}

/**
 * What is on record of a key's use. Everything in it only grows, so that it does not matter who records what how often
 * and in which order: nobody takes another's knowledge back, and what is known already is not recorded again.
 */
export const usageDecider: Decider<RecordUsage, KeyUsage, UsageEvent> = {
  initialState: [],
  decide({ keyId, usage, now }, state) {
    const merged = mergeUsage(state, usage);
    const secrets = usage
      .map(({ secretId }) => useOf(merged, secretId))
      .filter((use) => use !== undefined)
      .filter((use) => !sameUse(use, useOf(state, use.secretId)));
    if (secrets.length === 0) return accept();
    const event: KeyUsageRecorded = { type: 'KeyUsageRecorded', data: { keyId, secrets, recordedAt: now } };
    return accept<UsageEvent>(event);
  },
  evolve(state, { data }) {
    return newestUsed(mergeUsage(state, data.secrets));
  },
};

/** Two views of one key's use as one: the higher counts, the first of the first uses, the last of the last. */
export function mergeUsage(one: KeyUsage, other: KeyUsage): SecretUse[] {
  const ids = [...new Set([...one, ...other].map(({ secretId }) => secretId))].sort();
  return ids.map((secretId) => mergeUse(secretId, useOf(one, secretId), useOf(other, secretId)));
}

/** When any of a key's secrets was last used; `undefined`: never. */
export function lastUseOf(usage: KeyUsage): Instant | undefined {
  return edge(
    usage.map(({ lastUsedAt }) => lastUsedAt),
    (a, b) => a > b,
  );
}

function mergeUse(secretId: string, one: SecretUse | undefined, other: SecretUse | undefined): SecretUse {
  const firstUsedAt = edge([one?.firstUsedAt, other?.firstUsedAt], (a, b) => a < b);
  const lastUsedAt = edge([one?.lastUsedAt, other?.lastUsedAt], (a, b) => a > b);
  return {
    secretId,
    ...(firstUsedAt !== undefined && { firstUsedAt }),
    ...(lastUsedAt !== undefined && { lastUsedAt }),
    count: Math.max(one?.count ?? 0, other?.count ?? 0),
  };
}

function edge(instants: readonly (Instant | undefined)[], beats: (a: Instant, b: Instant) => boolean) {
  return instants.reduce<Instant | undefined>((kept, one) => {
    return one !== undefined && (kept === undefined || beats(one, kept)) ? one : kept;
  }, undefined);
}

/** A secret that is over is not used again, so that the ones used last are the ones that matter. */
function newestUsed(usage: SecretUse[]): KeyUsage {
  if (usage.length <= USED_SECRETS_KEPT) return usage;
  const byLastUse = [...usage].sort((a, b) => ((a.lastUsedAt ?? '') > (b.lastUsedAt ?? '') ? -1 : 1));
  const kept = new Set(byLastUse.slice(0, USED_SECRETS_KEPT));
  return usage.filter((use) => kept.has(use));
}

function useOf(usage: KeyUsage, secretId: string): SecretUse | undefined {
  return usage.find((use) => use.secretId === secretId);
}

function sameUse(one: SecretUse, other: SecretUse | undefined): boolean {
  return one.count === other?.count && one.firstUsedAt === other.firstUsedAt && one.lastUsedAt === other.lastUsedAt;
}
