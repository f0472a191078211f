import { History, TreeFollower } from '@keyledger/audit';
import { streams } from '@keyledger/contracts';
import { keyDecider } from '@keyledger/domain';
import { Decisions, EventStore } from '@keyledger/event-store';
import { Incidents } from '@keyledger/leaks';
import {
  FailedCredentials,
  KeyDigests,
  Metrics,
  openPersonalData,
  Sealing,
  settings,
  systemClock,
  tellParent,
  type Config,
  type Logger,
  type Readiness,
} from '@keyledger/platform';
import {
  ChannelDirectory,
  connectRedis,
  DecoySightings,
  IdempotencyStash,
  IncidentIndex,
  NotificationIndex,
  ReadModel,
  UsageStore,
} from '@keyledger/read-model';
import { assertCurrent, Credentials, UsageMeter, Verification, type Witnesses } from '@keyledger/verification';
import { join } from 'node:path';
import { Historian } from './audit/historian.js';
import { Proofs } from './audit/proofs.js';
import { Allowance } from './leaks/allowance.js';
import { FoundIntake } from './leaks/found-intake.js';
import { GithubKeys } from './leaks/github-keys.js';
import { LeakLog } from './leaks/leak-log.js';
import { Visibility } from './visibility.js';
import { Erasures } from './privacy/erasures.js';
import { Subjects } from './privacy/subjects.js';
import { Receipts } from './receipts.js';
import { ReviewBoard } from './reviews/review-board.js';
import { EmbeddedStore } from './system/embedded-store.js';
import { FirstStart } from './system/first-start.js';
import { VERSION } from './version.js';

export const API_SETTINGS = settings(
  'eventStoreUrl',
  'redisUrl',
  'dataDir',
  'host',
  'apiPort',
  'trustedProxies',
  'logLevel',
  'adminKey',
  'peppers',
  'sealingKeys',
  'personalData',
  'subjectKeysDir',
  'maxStalenessSeconds',
  'githubKeysUrl',
);
export type ApiConfig = Config<typeof API_SETTINGS>;

/** Reports of found keys from anybody, in this process. */
const FOUND_A_MINUTE = { perAddress: 10, altogether: 300 };

/** What the routes are made of, each once a process. */
export type Parts = ReturnType<typeof assemble>;

export function assemble(config: ApiConfig, logger: Logger) {
  const metrics = new Metrics('api');
  const eventStore = new EventStore({ url: config.eventStoreUrl });
  const { keys: subjectKeys, personal } = openPersonalData(config, logger);
  const decisions = new Decisions(eventStore, (context) => personal.context(context));
  const redis = connectRedis(config.redisUrl);
  const { maxStalenessSeconds } = config;
  const readModel = new ReadModel(redis, { maxStalenessSeconds });
  const digests = new KeyDigests(config.peppers);
  const decoySightings = new DecoySightings(redis);
  const usage = new UsageStore(redis);
  const meter = new UsageMeter(usage, metrics, logger);
  const witnesses: Witnesses = { meter, onDecoy: (sighting) => decoySightings.note(sighting) };
  const verification = new Verification(readModel, digests, systemClock, metrics, witnesses);
  const keyFromEvents = async (keyId: string) => (await decisions.load(keyDecider, streams.key(keyId))).state;
  const credentials = new Credentials(readModel, digests, systemClock, { ...witnesses, loadKey: keyFromEvents });
  const failed = new FailedCredentials(logger, metrics);
  const visibility = new Visibility(readModel, eventStore, logger);
  const receipts = new Receipts(new IdempotencyStash(redis), digests, logger);
  const history = new History(eventStore, { folder: join(config.dataDir, 'audit', 'snapshots'), version: VERSION });
  const historian = new Historian(history, logger);
  // Its own, beside the worker's: api and worker may run on different machines, and neither can spoil the other's.
  const auditFolder = join(config.dataDir, 'audit', 'tree-api');
  const auditTree = new TreeFollower({ folder: auditFolder, store: eventStore, log: logger });
  const proofs = new Proofs(eventStore, auditTree, logger);
  const incidentIndex = new IncidentIndex(redis);
  const incidents = new Incidents({ decisions, readModel, index: incidentIndex, clock: systemClock });
  const leakLog = new LeakLog(logger, metrics);
  const foundIntake = new FoundIntake(incidents, digests, new Allowance(FOUND_A_MINUTE), leakLog);
  const githubKeys = new GithubKeys(config.githubKeysUrl, logger);
  const subjects = new Subjects(subjectKeys, decisions, readModel);
  const erasures = new Erasures(subjectKeys, eventStore, logger);
  const sealing = new Sealing(config.sealingKeys);
  const channels = new ChannelDirectory(eventStore, logger);
  const notifications = new NotificationIndex(redis);
  const reviewBoard = new ReviewBoard(eventStore, decisions, logger);
  const embedded = new EmbeddedStore(config.eventStoreUrl);
  const firstStart = new FirstStart({
    decisions,
    digests,
    visibility,
    logger,
    given: config.adminKey,
    show: showAdminKey,
  });
  const readiness: Readiness = {
    eventStore: () => eventStore.ping(),
    redis: async () => void (await redis.ping()),
    readModel: () => assertCurrent(readModel.view()),
    firstStart: () => firstStart.assertDone(),
  };
  return {
    metrics,
    eventStore,
    decisions,
    redis,
    readModel,
    digests,
    usage,
    meter,
    verification,
    credentials,
    failed,
    visibility,
    receipts,
    history,
    historian,
    auditTree,
    proofs,
    decoySightings,
    incidentIndex,
    incidents,
    leakLog,
    foundIntake,
    githubKeys,
    sealing,
    channels,
    notifications,
    reviewBoard,
    embedded,
    personal,
    subjects,
    erasures,
    firstStart,
    readiness,
  };
}

/** To the parent that started us, else to whoever reads our standard output; never through the log. */
function showAdminKey(key: string): void {
  if (!tellParent({ type: 'admin-key', key })) process.stdout.write(`The admin key, shown this once: ${key}\n`);
}
