import { join } from 'node:path';
import { Malformed, parseKeyring, TreeFollower, type Keyring } from '@keyledger/audit';
import type { Decisions, EventStore } from '@keyledger/event-store';
import { ConfigError, SETTINGS, type Logger, type Metrics, type PublishPlace } from '@keyledger/platform';
import type { Chore } from '../housekeeping.js';
import type { Precedence } from '../precedence.js';
import { LogChore } from './check.js';
import { Mismatches } from './mismatches.js';
import { placeOf } from './places.js';
import { Sequencer } from './sequencer.js';

export interface AuditMeans {
  store: EventStore;
  decisions: Decisions;
  logger: Logger;
  metrics: Metrics;
  dataDir: string;
  signingKey: string;
  origin: string;
  checkpointSeconds: number;
  places: readonly PublishPlace[];
  checkHours: number;
  precedence: Precedence;
}

const HOUR_MS = 3_600_000;

/** The part of the worker that keeps history provable: tree, checkpoints, publishing, the regular check. */
export interface Audit {
  run(signal: AbortSignal): Promise<void>;
  chores: Record<string, Chore>;
}

/** @throws ConfigError for a signing key that is none */
export function assembleAudit(means: AuditMeans): Audit {
  const { store, decisions, logger, metrics, dataDir, checkHours, precedence } = means;
  const keyring = keyringOf(means.signingKey);
  const { signer } = keyring;
  const folder = join(dataDir, 'audit');
  const follower = new TreeFollower({ folder: join(folder, 'tree'), store, log: logger });
  const mismatches = new Mismatches(decisions, logger, metrics);
  const sequencer = new Sequencer({
    store,
    follower,
    keyring,
    origin: means.origin || (signer?.name ?? ''),
    intervalMs: means.checkpointSeconds * 1000,
    places: means.places.map(placeOf),
    memory: join(folder, 'latest-checkpoint.txt'),
    mismatches,
    logger,
  });
  const check = new LogChore({ store, follower, keyring, places: means.places, mismatches, logger });
  measure(follower, sequencer, check, metrics);
  if (!signer) logger.warn(`no checkpoint of the audit log is signed: ${SETTINGS.signingKey.name} is not set`);
  return {
    run: async (signal) => {
      await precedence.turn(signal);
      await Promise.all([follower.run(signal), signer && sequencer.run(signal)]);
    },
    chores: checkHours === 0 ? {} : { 'audit-check': { everyMs: checkHours * HOUR_MS, work: () => check.work() } },
  };
}

function keyringOf(text: string): Keyring {
  try {
    return parseKeyring(text);
  } catch (error) {
    if (!(error instanceof Malformed)) throw error;
    throw new ConfigError([`${SETTINGS.signingKey.name}: ${error.message}`]);
  }
}

function measure(follower: TreeFollower, sequencer: Sequencer, check: LogChore, metrics: Metrics): void {
  const gauge = (name: string, help: string, value: () => number): void => {
    metrics.gauge(`keyledger_audit_${name}`, help, [], (own) => own.set(value()));
  };
  gauge('tree_size', 'Leaves of the audit tree', () => follower.state().size);
  gauge('tree_live', '1 while the audit tree is as far as the log', () => Number(follower.state().live));
  gauge('tree_rebuilds', 'How often the audit tree was made again from the events', () => follower.state().rebuilds);
  gauge('checkpoint_size', 'Leaves below the newest checkpoint', () => sequencer.state().signed);
  gauge('checkpoint_age_seconds', 'Since the newest checkpoint was signed', () => {
    const { signedAt } = sequencer.state();
    return signedAt === undefined ? 0 : (Date.now() - signedAt) / 1000;
  });
  gauge('check_age_seconds', 'Since the log was last checked by this worker; -1: not yet', () =>
    check.last ? (Date.now() - check.last.at) / 1000 : -1,
  );
  metrics.gauge('keyledger_audit_published_size', 'Leaves below the newest checkpoint at a place', ['place'], (own) => {
    for (const { name, published } of sequencer.state().places) own.set({ place: name }, published);
  });
  metrics.gauge('keyledger_audit_publish_failing', '1 while a place does not take checkpoints', ['place'], (own) => {
    for (const { name, failing } of sequencer.state().places) own.set({ place: name }, Number(failing));
  });
}
