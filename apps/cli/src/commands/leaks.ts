import { LEAK_RESOLUTIONS, LEAK_SOURCES, LEAK_STATES, REPORTED_SOURCES } from '@keyledger/contracts';
import type { ChangedLeak, LeakList, LeakView, ReportedLeak } from '@keyledger/contracts/http';
import { Command, Option } from 'commander';
import { pathTo } from '../id.js';
import { presentedKeyFrom } from '../presented-key.js';
import { changing, examples, paged } from '../options.js';
import { fields } from '../print.js';
import { table, type Column } from '../table.js';
import type { RunWith } from '../run.js';
import { readSecretFile } from '../secret-file.js';
import type { ChangeOptions } from '../session.js';

interface ReportOptions extends ChangeOptions {
  secretFile?: string;
  sha256?: string;
  where?: string;
  source?: string;
  comment?: string;
}

interface ListOptions {
  keyspace?: string;
  state?: string;
  source?: string;
  limit?: number;
  cursor?: string;
}

export function leaksCommand(runWith: RunWith): Command {
  const leaks = new Command('leaks').description(
    'keys that were found where they should not be, and decoys that were used',
  );
  report(leaks, runWith);
  listAndShow(leaks, runWith);
  resolve(leaks, runWith);
  return leaks;
}

function report(leaks: Command, runWith: RunWith): void {
  const command = leaks
    .command('report')
    .description('report a key; it comes from standard input or a file, and its keyspace says what is done about it')
    .option('--secret-file <file>', 'the file that holds the key (default: standard input)')
    .addOption(new Option('--sha256 <hash>', 'the SHA-256 of the key, in place of it').conflicts('secretFile'))
    .option('--where <url>', 'where it was found')
    .addOption(new Option('--source <source>', 'who saw it (default: report)').choices(REPORTED_SOURCES))
    .option('--comment <text>', 'for whoever looks at it');
  examples(
    changing(command, { repeatable: false }),
    'leaks report --where https://git.example.com/app/blob/4f2a/config.yml < found.key',
    'leaks report --sha256 ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad',
  ).action(
    runWith(async (session, _, options: ReportOptions) => {
      const { secretFile, sha256, where: url, source, comment } = options;
      const key =
        sha256 !== undefined
          ? undefined
          : secretFile !== undefined
            ? await readSecretFile(secretFile)
            : await presentedKeyFrom(session.terminal, 'keyledger leaks report');
      const body = { key, sha256, url, source, comment };
      const reported = await session.change<ReportedLeak>('POST', '/v1/leaks', body, { ...options, once: true });
      session.show(reported, () => leakText(reported));
      if (reported.hint !== undefined) session.note(reported.hint);
      if (!reported.effective) session.note('It is recorded and not done yet; a worker goes on with it.');
    }),
  );
}

function listAndShow(leaks: Command, runWith: RunWith): void {
  examples(paged(leaks.command('list')), 'leaks list --state open', 'leaks list --keyspace acme --source honeykey')
    .description('list incidents, newest first')
    .option('--keyspace <id>', 'about keys of this keyspace')
    .addOption(new Option('--state <state>', 'open: nobody has closed it').choices(LEAK_STATES))
    .addOption(new Option('--source <source>', 'where the report came from').choices(LEAK_SOURCES))
    .action(
      runWith(async (session, _, { keyspace, ...rest }: ListOptions) => {
        const query = { keyspaceId: keyspace, ...rest };
        const page = await session.call<LeakList>({ method: 'GET', path: '/v1/leaks', query });
        session.show(page, () => table(page.items, COLUMNS, session.terminal));
        session.noteMore(page);
      }),
    );

  examples(leaks.command('show').argument('<leakId>', 'the id of the incident'), 'leaks show 4f9kQ2LmZ7aB4f9kQ2LmZ7')
    .description('show an incident, and what was done about it')
    .action(
      runWith(async (session, [leakId]) => {
        const leak = await session.call<LeakView>({ method: 'GET', path: pathOf(leakId) });
        session.show(leak, () => leakText(leak));
      }),
    );
}

function resolve(leaks: Command, runWith: RunWith): void {
  const command = leaks
    .command('resolve')
    .argument('<leakId>', 'the id of the incident')
    .description('close an incident')
    .addOption(new Option('--as <resolution>', 'how it was closed').choices(LEAK_RESOLUTIONS).makeOptionMandatory())
    .option('--comment <text>', 'what was found out');
  examples(
    changing(command, { repeatable: false }),
    'leaks resolve 4f9kQ2LmZ7aB4f9kQ2LmZ7 --as handled --comment "rotated, history cleaned"',
  ).action(
    runWith(async (session, [leakId], options: ChangeOptions & { as: string; comment?: string }) => {
      const body = { resolution: options.as, comment: options.comment };
      const changed = await session.change<ChangedLeak>('POST', `${pathOf(leakId)}/resolve`, body, {
        ...options,
        once: true,
      });
      session.show(changed, () => leakText(changed));
    }),
  );
}

function pathOf(leakId: string): string {
  return pathTo('/v1/leaks', leakId, 'leakId');
}

const COLUMNS: Column<LeakView>[] = [
  { head: 'INCIDENT', of: ({ leakId }) => leakId, whole: true },
  { head: 'STATE', of: ({ state }) => state },
  { head: 'SOURCE', of: ({ source }) => source },
  { head: 'KEY', of: ({ key }) => key?.keyId, whole: true },
  { head: 'KEYSPACE', of: ({ key }) => key?.keyspaceId },
  { head: 'DONE', of: ({ action }) => action?.action },
  { head: 'REPORTED', of: ({ reportedAt }) => reportedAt },
  { head: 'WHERE', of: ({ url, presentedFrom }) => url ?? presentedFrom?.address },
];

function leakText(leak: LeakView): string {
  const { key, action, resolution, presentedFrom } = leak;
  return fields([
    ['incident', leak.leakId],
    ['state', leak.state],
    ['source', leak.source],
    ['found', leak.mask],
    ['called', leak.tokenType],
    ['where', [leak.url, leak.location].filter(Boolean).join(', ')],
    ['presented by', [presentedFrom?.address, presentedFrom?.userAgent].filter(Boolean).join(', ')],
    ['presented to', presentedFrom?.service],
    ['comment', leak.comment],
    ['reported', leak.reportedAt],
    ['key', key && `${key.keyId} (secret ${key.secretId})`],
    ['keyspace', key?.keyspaceId],
    ['environment', key?.environment],
    ['owner', key && `${key.owner.id} (${key.owner.type})`],
    ['policy', key?.response],
    ['done', action && [action.action, action.because].filter(Boolean).join(': ')],
    ['done after', leak.times.actedAfterMs === undefined ? undefined : `${leak.times.actedAfterMs} ms`],
    ['resolved', resolution && `${resolution.resolution} at ${resolution.resolvedAt}`],
    ['because', resolution?.comment],
  ]);
}
