import { resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type {
  BackupView,
  ProjectionsView,
  RebuildReportView,
  StartedRebuild,
  StoreStatus,
  SystemStatus,
} from '@keyledger/contracts/http';
import { Command } from 'commander';
import { EXIT, Unreachable, type ExitCode } from '../exit.js';
import { changing, examples, wholeNumber } from '../options.js';
import { fields } from '../print.js';
import type { RunWith } from '../run.js';
import type { ChangeOptions, Session } from '../session.js';

const POLL_MS = 250;
const BACKUP_TIMEOUT_MS = 3_600_000;

export function systemCommand(runWith: RunWith): Command {
  const system = new Command('system').description('the state of the system; rebuild and backup');

  examples(system.command('status'), 'system status', 'system status --json')
    .description('whether the parts can be reached, and how far the read model has come')
    .action(
      runWith(async (session, _: []) => {
        const status = await session.call<SystemStatus>({ method: 'GET', path: '/v1/system/status' });
        session.show(status, () => statusText(status));
      }),
    );

  examples(
    changing(system.command('rebuild'), { repeatable: false }),
    'system rebuild --wait',
    'system rebuild --reason "checking the read model" --json',
  )
    .description('build the read model anew beside the live one, compare both, switch; keys are verified meanwhile')
    .option('--wait', 'until it is done; then the exit code says whether both said the same')
    .option('--wait-seconds <seconds>', 'at most so long', wholeNumber(1, 86_400), 3600)
    .action(runWith((session, _: [], options: RebuildOptions) => rebuild(session, options)));

  examples(
    changing(system.command('backup').argument('<folder>', 'new or empty, on the machine of the event store'), {
      repeatable: false,
    }),
    'system backup /var/backups/keyledger-2027-01-31',
  )
    .description('copy the embedded event store to a folder while it runs; a store started on that folder serves it')
    .action(
      runWith(async (session, [folder], options: ChangeOptions) => {
        const path = resolve(folder);
        const timeoutMs = BACKUP_TIMEOUT_MS;
        const backup = await session.change<BackupView>(
          'POST',
          '/v1/system/backup',
          { folder: path },
          {
            ...options,
            once: true,
            timeoutMs,
          },
        );
        session.show(backup, () => backupText(backup));
      }),
    );

  return system;
}

interface RebuildOptions extends ChangeOptions {
  wait?: boolean;
  waitSeconds: number;
}

async function rebuild(session: Session, options: RebuildOptions): Promise<ExitCode> {
  const path = '/v1/system/projections/rebuild';
  const started = await session.change<StartedRebuild>('POST', path, {}, { ...options, once: true });
  if (!options.wait) {
    session.show(started, () => fields([['rebuild', started.rebuildId]]));
    return EXIT.ok;
  }
  const deadline = Date.now() + options.waitSeconds * 1000;
  for (;;) {
    const report = await reportOf(session, started.rebuildId, deadline);
    if (report) {
      session.show(report, () => rebuildText(report));
      return report.equal === false ? EXIT.refused : EXIT.ok;
    }
    await delay(POLL_MS);
  }
}

/** The report of a rebuild, once there is one. A part that is away for a moment does not end the wait. */
async function reportOf(session: Session, rebuildId: string, deadline: number): Promise<RebuildReportView | undefined> {
  const late = Date.now() > deadline;
  try {
    const { rebuild } = await session.call<ProjectionsView>({ method: 'GET', path: '/v1/system/projections' });
    const { lastRebuild } = rebuild;
    if (lastRebuild?.rebuildId === rebuildId) return lastRebuild;
  } catch (error) {
    if (late || !(error instanceof Unreachable)) throw error;
  }
  if (late) throw new Unreachable(`The rebuild ${rebuildId} is not done yet; it goes on (keyledger system status)`);
  return undefined;
}

function statusText({ version, node, startedAt, eventStore, redis, projections }: SystemStatus): string {
  return fields([
    ['version', `${version} on Node ${node}`],
    ['running since', startedAt],
    ['event store', reachText(eventStore)],
    ['Redis', reachText(redis)],
    ...(projections ? projectionPairs(projections) : []),
  ]);
}

function projectionPairs(projections: ProjectionsView): [string, string | undefined][] {
  const { generation = 'none', current, position, head, heartbeatAgeMs, rebuild } = projections;
  const { building, lastRebuild } = rebuild;
  return [
    ['read model', `generation ${generation}, ${current ? 'current' : 'not current: verification answers 503'}`],
    ['position', `${position} of ${head ?? 'unknown'}`],
    ['heartbeat', heartbeatAgeMs === undefined ? 'none' : `${heartbeatAgeMs} ms ago`],
    ['rebuild', building ? `building ${building.generation}, at ${building.position}` : rebuild.state],
    ['last rebuild', lastRebuild && `${lastRebuild.finishedAt}, ${verdictOf(lastRebuild)}`],
  ];
}

function reachText({ reachable, detail }: StoreStatus): string {
  return reachable ? 'reachable' : `not reachable${detail === undefined ? '' : `: ${detail}`}`;
}

function rebuildText(report: RebuildReportView): string {
  return fields([
    ['rebuild', report.rebuildId],
    ['generation', report.generation],
    ['events', String(report.eventsApplied)],
    ['keys', String(report.keys)],
    ['outcome', verdictOf(report)],
    ['differing', report.differing.join(', ')],
    ['finished', report.finishedAt],
  ]);
}

function verdictOf({ equal, differingCount }: RebuildReportView): string {
  if (equal === undefined) return 'built, with nothing to compare';
  return equal ? 'equal to the generation before' : `${differingCount} records differ from the generation before`;
}

function backupText({ folder, position, bytes }: BackupView): string {
  return fields([
    ['folder', folder],
    ['position', position],
    ['bytes', String(bytes)],
  ]);
}
