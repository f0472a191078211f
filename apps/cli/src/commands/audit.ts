import { setTimeout as delay } from 'node:timers/promises';
import { KEY_STATES } from '@keyledger/contracts';
import type {
  AuditEventList,
  AuditEventView,
  Explanation,
  KeyAsOf,
  KeyDifferences,
  KeysAsOf,
} from '@keyledger/contracts/http';
import { Command, Option } from 'commander';
import { Unreachable, UsageError } from '../exit.js';
import { pathTo } from '../id.js';
import { examples, list, wholeNumber } from '../options.js';
import { fields } from '../print.js';
import { table, type Column } from '../table.js';
import { readSecretFile } from '../secret-file.js';
import type { RunWith } from '../run.js';
import type { Session } from '../session.js';
import { reportCommands } from './audit-reports.js';
import { addProofCommands } from './audit-proof.js';

/** A server that says nothing for so long is gone: a tail has a heartbeat every 15 s. */
const SILENCE_MS = 60_000;
/** Until an export has found its first line; a full replay may come before it. */
const BEGIN_MS = 600_000;
const LONGEST_PAUSE_MS = 10_000;

interface FilterOptions {
  key?: string;
  keyspace?: string;
  owner?: string;
  actor?: string;
  type?: string[];
  request?: string;
  correlation?: string;
  from?: string;
  to?: string;
  fromPosition?: string;
  toPosition?: string;
}

export function auditCommand(runWith: RunWith): Command {
  const audit = new Command('audit').description('what happened, how it was at any time, why, and the proof of it');
  events(audit, runWith);
  tail(audit, runWith);
  key(audit, runWith);
  state(audit, runWith);
  diff(audit, runWith);
  explain(audit, runWith);
  reportCommands(audit, runWith);
  addProofCommands(audit, runWith);
  return audit;
}

function filtering(command: Command): Command {
  return command
    .option('--key <id>', 'events of this key')
    .option('--keyspace <id>', 'events of this keyspace and its keys')
    .option('--owner <id>', 'events of keys that this owner had at the time')
    .option('--actor <id>', 'done by this key or part of the system, or on behalf of this person')
    .option('--type <list>', 'e.g. KeyIssued,KeyRevoked', list)
    .option('--request <id>', 'of this request')
    .option('--correlation <id>', 'of all that followed from one request')
    .option('--from <instant>', 'recorded then or later')
    .option('--to <instant>', 'recorded before')
    .option('--from-position <position>', 'at this position or behind it')
    .option('--to-position <position>', 'at this position or before it');
}

function filterOf(options: FilterOptions): Record<string, string | undefined> {
  const {
    key: keyId,
    keyspace,
    owner,
    actor,
    type,
    request,
    correlation,
    from,
    to,
    fromPosition,
    toPosition,
  } = options;
  return {
    keyId,
    keyspaceId: keyspace,
    ownerId: owner,
    actorId: actor,
    type: type?.join(','),
    requestId: request,
    correlationId: correlation,
    from,
    to,
    fromPosition,
    toPosition,
  };
}

interface EventsOptions extends FilterOptions {
  order?: string;
  limit?: number;
  cursor?: string;
  format?: string;
  after?: string;
}

function events(audit: Command, runWith: RunWith): void {
  const command = filtering(audit.command('events').description('what happened: a page, or with --format all of it'))
    .addOption(new Option('--order <order>', 'which come first').choices(['oldest', 'newest']))
    .option('--limit <number>', 'at most so many', wholeNumber(1, 1000))
    .option('--cursor <cursor>', 'the next page')
    .option('--after <position>', 'what came behind this position')
    .addOption(new Option('--format <format>', 'a stream of all that fits').choices(['ndjson', 'csv', 'ocsf']));
  examples(
    command,
    'audit events --key 0Kx3Zf9QpLr7VbN2mTcY8w',
    'audit events --keyspace acme --from 2026-01-01T00:00:00Z --to 2027-01-01T00:00:00Z --format csv > 2026.csv',
    'audit events --type KeyRevoked --order newest --json',
  ).action(
    runWith(async (session, _: [], options: EventsOptions) => {
      const { order, limit, cursor, after, format } = options;
      const query = { ...filterOf(options), order, limit, cursor, after, format };
      const call = { method: 'GET', path: '/v1/audit/events', query } as const;
      if (format !== undefined) return session.copy({ ...call, timeoutMs: BEGIN_MS }, BEGIN_MS);
      const page = await session.call<AuditEventList>(call);
      session.show(page, () => table(page.items, EVENT_COLUMNS, session.terminal));
      session.noteMore(page);
    }),
  );
}

interface TailOptions extends FilterOptions {
  after?: string;
  format: string;
  follow?: boolean;
}

function tail(audit: Command, runWith: RunWith): void {
  const command = filtering(audit.command('tail').description('what happens, a line each'))
    .option('--after <position>', 'begin behind this position (default: now; with ocsf: the first event)')
    .addOption(new Option('--format <format>', 'what a line is').choices(['ndjson', 'ocsf']).default('ndjson'))
    .option('--follow', 'go on for ever, also when the server was away, with no line twice and none left out');
  examples(
    command,
    'audit tail --keyspace acme --follow',
    'audit tail --format ocsf --after 48211 --follow | siem-shipper',
  ).action(
    runWith(async (session, _: [], options: TailOptions) => {
      let { after } = options;
      for (let pauseMs = 250; ; pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS)) {
        try {
          const source =
            options.format === 'ocsf' ? exported(session, options, after) : followed(session, options, after);
          for await (const { position, text } of source) {
            if (text !== undefined) session.terminal.stdout.write(`${text}\n`);
            after = position;
            pauseMs = 250;
            if (text !== undefined && !options.follow && options.format !== 'ocsf') return;
          }
          if (!options.follow) return;
        } catch (error) {
          if (!options.follow || !(error instanceof Unreachable)) throw error;
          session.note(`${error.message}; trying again`);
        }
        await delay(options.format === 'ocsf' ? Math.max(pauseMs, 1000) : pauseMs);
      }
    }),
  );
}

type Line = { position: string; text?: string };

async function* followed(session: Session, options: FilterOptions, after?: string): AsyncGenerator<Line> {
  const query = { ...filterOf(options), after };
  let position = '';
  for await (const line of session.lines({ method: 'GET', path: '/v1/audit/events/tail', query }, SILENCE_MS)) {
    const begun = /^: follows behind (\d+)$/.exec(line)?.[1];
    if (begun !== undefined) yield { position: begun };
    if (line.startsWith('id: ')) position = line.slice(4);
    else if (line.startsWith('data: ')) yield { position, text: line.slice(6) };
  }
}

async function* exported(session: Session, options: FilterOptions, after?: string): AsyncGenerator<Line> {
  const query = { ...filterOf(options), format: 'ocsf', after };
  const call = { method: 'GET', path: '/v1/audit/events', query, timeoutMs: BEGIN_MS } as const;
  for await (const text of session.lines(call, BEGIN_MS)) {
    if (text === '') continue;
    const { sequence } = JSON.parse(text) as { sequence: string };
    yield { position: String(BigInt(sequence)), text };
  }
}

interface MomentOptions {
  at?: string;
  position?: string;
  knownAt?: string;
}

function atMoment(command: Command): Command {
  return command
    .option('--at <instant>', 'the instant that is asked about (default: now)')
    .option('--position <position>', 'as of this position of the log instead')
    .option('--known-at <instant>', 'with what was recorded until then (default: --at)');
}

function key(audit: Command, runWith: RunWith): void {
  const command = atMoment(audit.command('key').argument('<keyId>').description('one key as it was, and its events'));
  examples(command, 'audit key 0Kx3Zf9QpLr7VbN2mTcY8w --at 2026-03-03T10:00:00Z').action(
    runWith(async (session, [keyId], { at, position, knownAt }: MomentOptions) => {
      const path = pathTo('/v1/audit/keys', keyId, 'keyId');
      const answer = await session.call<KeyAsOf>({ method: 'GET', path, query: { at, position, knownAt } });
      session.show(answer, () => keyText(answer) + table(answer.events, EVENT_COLUMNS, session.terminal));
    }),
  );
}

interface StateOptions extends MomentOptions {
  scope?: string;
  owner?: string;
  keyspace?: string;
  environment?: string;
  state?: string;
  limit?: number;
  cursor?: string;
  format?: string;
}

function state(audit: Command, runWith: RunWith): void {
  const command = atMoment(audit.command('state').description('every key as it was: who could do this at that time'))
    .option('--scope <scope>', 'keys that had it, by itself or by one that covers it')
    .option('--owner <id>', 'keys of this owner')
    .option('--keyspace <id>', 'keys of this keyspace')
    .option('--environment <name>', 'keys of this environment')
    .addOption(new Option('--state <state>', 'keys that were').choices(KEY_STATES))
    .option('--limit <number>', 'at most so many', wholeNumber(1, 1000))
    .option('--cursor <cursor>', 'the next page')
    .addOption(new Option('--format <format>', 'a stream of all that fits').choices(['ndjson', 'csv']));
  examples(command, 'audit state --at 2026-03-03T10:00:00Z --scope payments:write --state active').action(
    runWith(async (session, _: [], options: StateOptions) => {
      const { keyspace, ...query } = options;
      const path = '/v1/audit/state';
      const call = { method: 'GET', path, query: { ...query, keyspaceId: keyspace }, timeoutMs: BEGIN_MS } as const;
      if (options.format !== undefined) return session.copy(call, BEGIN_MS);
      const page = await session.call<KeysAsOf>(call);
      session.show(page, () => table(page.items, KEY_COLUMNS, session.terminal));
      session.noteMore(page);
    }),
  );
}

interface DiffOptions {
  from: string;
  to: string;
  keyspace?: string;
  limit?: number;
  cursor?: string;
}

function diff(audit: Command, runWith: RunWith): void {
  const command = audit
    .command('diff')
    .description('what was otherwise at one instant than at another, key by key')
    .requiredOption('--from <instant>', 'the earlier one')
    .requiredOption('--to <instant>', 'the later one')
    .option('--keyspace <id>', 'keys of this keyspace')
    .option('--limit <number>', 'at most so many keys', wholeNumber(1, 1000))
    .option('--cursor <cursor>', 'the next page');
  examples(command, 'audit diff --from 2026-03-01T00:00:00Z --to 2026-04-01T00:00:00Z --keyspace acme').action(
    runWith(async (session, _: [], { keyspace, ...query }: DiffOptions) => {
      const call = { method: 'GET', path: '/v1/audit/diff', query: { ...query, keyspaceId: keyspace } } as const;
      const page = await session.call<KeyDifferences>({ ...call, timeoutMs: BEGIN_MS });
      session.show(page, () => table(page.items, DIFFERENCE_COLUMNS, session.terminal));
      session.noteMore(page);
    }),
  );
}

interface ExplainOptions {
  key?: string;
  secretFile?: string;
  secretId?: string;
  at?: string;
  knownAt?: string;
  revision?: number;
  scopes?: string[];
  clientIp?: string;
  origin?: string;
  environment?: string;
  keyspace?: string;
}

function explain(audit: Command, runWith: RunWith): void {
  const command = audit
    .command('explain')
    .description('the verdict on a request of the past, and the event that decided it')
    .option('--key <id>', 'the id of the key')
    .option('--secret-file <file>', 'or a file with the key itself')
    .option('--secret-id <id>', 'with --key: which of its secrets was presented (default: the newest)')
    .option('--at <instant>', 'when it was asked (default: now)')
    .option('--known-at <instant>', 'with what was recorded until then (default: --at)')
    .option('--revision <number>', 'the revision that the live answer carried', wholeNumber(0, 1e15))
    .option('--scopes <list>', 'scopes that it had to have', list)
    .option('--client-ip <address>', 'where the request came from')
    .option('--origin <origin>', 'the Origin or Referer of the request')
    .option('--environment <name>', 'the environment it had to be of')
    .option('--keyspace <id>', 'the keyspace it had to be of');
  examples(
    command,
    'audit explain --key 0Kx3Zf9QpLr7VbN2mTcY8w --at 2026-03-03T10:00:00Z --scopes payments:write',
  ).action(
    runWith(async (session, _: [], options: ExplainOptions) => {
      const { key: keyId, secretFile, secretId, at, knownAt, revision, keyspace, ...rest } = options;
      if ((keyId === undefined) === (secretFile === undefined)) throw new UsageError('Give --key or --secret-file');
      const presented = secretFile === undefined ? undefined : await readSecretFile(secretFile);
      const request = { ...rest, keyspaceId: keyspace };
      const body = { keyId, key: presented, secretId, at, knownAt, revision, request };
      const call = { method: 'POST', path: '/v1/audit/explain', body, readOnly: true } as const;
      const answer = await session.call<Explanation>(call);
      session.show(answer, () => explanationText(answer));
    }),
  );
}

const actorText = ({ actor }: AuditEventView): string =>
  actor.onBehalfOf === undefined ? `${actor.type} ${actor.id}` : `${actor.onBehalfOf} by ${actor.type} ${actor.id}`;

const EVENT_COLUMNS: readonly Column<AuditEventView>[] = [
  { head: 'position', of: ({ position }) => position, whole: true },
  { head: 'recorded', of: ({ recordedAt }) => recordedAt, whole: true },
  { head: 'type', of: ({ type }) => type, whole: true },
  { head: 'key', of: ({ keyId }) => keyId, whole: true },
  { head: 'who', of: actorText },
  { head: 'why', of: ({ reason }) => reason },
  { head: 'from', of: ({ clientAddress }) => clientAddress },
];

const KEY_COLUMNS: readonly Column<KeysAsOf['items'][number]>[] = [
  { head: 'key', of: ({ keyId }) => keyId, whole: true },
  { head: 'keyspace', of: ({ keyspaceId }) => keyspaceId },
  { head: 'environment', of: ({ environment }) => environment },
  { head: 'name', of: ({ name }) => name },
  { head: 'owner', of: ({ owner }) => owner.id },
  { head: 'state', of: (one) => one.state },
  { head: 'scopes', of: ({ scopes }) => scopes.join(' ') },
];

const DIFFERENCE_COLUMNS: readonly Column<KeyDifferences['items'][number]>[] = [
  { head: 'key', of: ({ keyId }) => keyId, whole: true },
  { head: 'before', of: ({ before }) => before?.state ?? 'not there' },
  { head: 'after', of: ({ after }) => after?.state ?? 'not there' },
  { head: 'changed', of: ({ before, changed }) => (before ? changed.join(', ') : 'new') },
  { head: 'events', of: (one) => one.events.map(({ type }) => type).join(', ') },
];

function keyText({ keyId, at, knownAt, key: shown, verdict, position }: KeyAsOf): string {
  return fields([
    ['key', keyId],
    ['at', at],
    ['known at', knownAt],
    ['verdict', verdict.code],
    ['state', shown?.state ?? 'not there yet'],
    ['name', shown?.name],
    ['owner', shown ? `${shown.owner.id} (${shown.owner.type})` : undefined],
    ['scopes', shown?.scopes.join(', ')],
    ['expires', shown?.expiresAt ?? undefined],
    ['position', position],
  ]);
}

function explanationText({ code, at, keyId, secretId, state: was, revision, decidedBy }: Explanation): string {
  return fields([
    ['verdict', code],
    ['at', at],
    ['key', keyId],
    ['secret', secretId],
    ['state', was],
    ['revision', revision === undefined ? undefined : String(revision)],
    [
      'decided by',
      decidedBy && `${decidedBy.type} at position ${decidedBy.position}, recorded ${decidedBy.recordedAt}`,
    ],
    ['done by', decidedBy && actorText(decidedBy)],
    ['why', decidedBy?.reason],
  ]);
}
