import { SCANNER_FORMATS } from '@keyledger/contracts';
import { Command, InvalidArgumentError, Option } from 'commander';
import { UsageError } from '../exit.js';
import { fields } from '../print.js';
import { table, type Column } from '../table.js';
import { pathTo } from '../id.js';
import { changing, examples, list, paged, wholeNumber, yesOrNo } from '../options.js';
import { ROTATION_MODES, rotationOf } from '../key-options.js';
import { rotationRuleText } from './key-text.js';
import type { ChangeOptions } from '../session.js';
import type { RunWith } from '../run.js';
import type { KeyspaceList, KeyspaceView, LeakRuleInput } from '@keyledger/contracts/http';

interface KeyspaceOptions extends ChangeOptions {
  name?: string;
  environments?: string[];
  defaultLifetime?: string;
  maxLifetime?: string;
  defaultGrace?: string;
  maxGrace?: string;
  scopes?: string[];
  anyScopes?: boolean;
  nonExpiring?: boolean;
  secondRotation?: string;
  selfRotate?: boolean;
  selfRevoke?: boolean;
  expiryWarnings?: string[];
  rotateEvery?: string;
  rotateGrace?: string;
  rotateMode?: string;
  rotation?: boolean;
  endGrace?: string;
  failedDelivery?: string;
  unusedAfter?: string;
  unusedAction?: string;
  unused?: boolean;
  leakResponse?: LeakRuleInput[];
}

export function keyspacesCommand(runWith: RunWith): Command {
  const keyspaces = new Command('keyspaces').description('where keys live, and the policy that holds for them');
  create(keyspaces, runWith);
  listAndShow(keyspaces, runWith);
  update(keyspaces, runWith);
  archive(keyspaces, runWith);
  scannerRules(keyspaces, runWith);
  return keyspaces;
}

function create(keyspaces: Command, runWith: RunWith): void {
  examples(
    changing(withPolicy(keyspaces.command('create').argument('<prefix>', 'what its keys begin with, and its id'))),
    'keyspaces create acme --name "Acme payments"',
    'keyspaces create acme --name Acme --max-lifetime P90D --scopes payments:read,payments:write',
  )
    .description('create a keyspace; its prefix is its id and belongs to it for ever')
    .action(
      runWith(async (session, [prefix], options: KeyspaceOptions) => {
        const { environments, name = prefix } = options;
        const body = { prefix, name, environments, policy: policyOf(options) };
        const made = await session.change<KeyspaceView>('POST', '/v1/keyspaces', body, options);
        session.show(made, () => keyspaceText(made));
      }),
    );
}

function listAndShow(keyspaces: Command, runWith: RunWith): void {
  examples(paged(keyspaces.command('list')), 'keyspaces list')
    .description('list the keyspaces')
    .action(
      runWith(async (session, _, { limit, cursor }: { limit?: number; cursor?: string }) => {
        const page = await session.call<KeyspaceList>({
          method: 'GET',
          path: '/v1/keyspaces',
          query: { limit, cursor },
        });
        session.show(page, () => table(page.items, KEYSPACE_COLUMNS, session.terminal));
        session.noteMore(page);
      }),
    );

  examples(keyspaces.command('show').argument('<keyspace>', 'its id, which is its prefix'), 'keyspaces show acme')
    .description('show a keyspace and its policy')
    .action(
      runWith(async (session, [id]) => {
        const keyspace = await session.call<KeyspaceView>({ method: 'GET', path: pathOf(id) });
        session.show(keyspace, () => keyspaceText(keyspace));
      }),
    );
}

function update(keyspaces: Command, runWith: RunWith): void {
  examples(
    changing(withPolicy(keyspaces.command('update').argument('<keyspace>', 'its id')), { repeatable: false }),
    'keyspaces update acme --max-grace P7D --reason "shorter overlaps"',
    'keyspaces update acme --any-scopes',
    'keyspaces update acme --rotate-every P30D --rotate-grace P1D --rotate-mode automatic',
    'keyspaces update acme --leak-response test=alert --leak-response live/secret=rotate:PT1H',
  )
    .description('change the name, the environments or the policy; what is not named stays')
    .option('--if-match <revision>', 'only if the keyspace still has this revision', wholeNumber(0, 1e15))
    .action(
      runWith(async (session, [id], options: KeyspaceOptions & { ifMatch?: number }) => {
        const body = { name: options.name, environments: options.environments, policy: policyOf(options) };
        const changed = await session.change<KeyspaceView>('PATCH', pathOf(id), body, options);
        session.show(changed, () => keyspaceText(changed));
      }),
    );
}

function archive(keyspaces: Command, runWith: RunWith): void {
  examples(changing(keyspaces.command('archive').argument('<keyspace>', 'its id')), 'keyspaces archive acme')
    .description('close a keyspace for new keys and secrets; the keys that it has stay as they are')
    .action(
      runWith(async (session, [id], options: ChangeOptions) => {
        const archived = await session.change<KeyspaceView>('POST', `${pathOf(id)}/archive`, {}, options);
        session.show(archived, () => keyspaceText(archived));
      }),
    );
}

function scannerRules(keyspaces: Command, runWith: RunWith): void {
  examples(
    keyspaces.command('scanner-rules').argument('<keyspace>', 'its id'),
    'keyspaces scanner-rules acme --format gitleaks > .gitleaks.toml',
  )
    .description('give the rules by which a scanner finds the secret keys of a keyspace')
    .addOption(new Option('--format <scanner>', 'whose rules').choices(SCANNER_FORMATS).makeOptionMandatory())
    .action(
      runWith(async (session, [id], { format }: { format: string }) => {
        const path = `${pathOf(id)}/scanner-rules`;
        session.terminal.stdout.write(
          await session.call<string>({ method: 'GET', path, query: { format }, as: 'text' }),
        );
      }),
    );
}

function withPolicy(command: Command): Command {
  return command
    .option('--name <name>', 'for people')
    .option('--environments <list>', 'e.g. live,test', list)
    .option('--default-lifetime <duration>', 'of a key whose request names none, e.g. P90D')
    .option('--max-lifetime <duration>', 'the longest that a key may live')
    .option('--default-grace <duration>', 'how long the old secret works after a rotation that names no time')
    .option('--max-grace <duration>', 'the longest grace')
    .option('--scopes <list>', 'the only scopes that keys may have, e.g. payments:read,payments:*', list)
    .option('--any-scopes', 'lift the limit on scopes')
    .option('--non-expiring <yes|no>', 'may keys live for ever, each with a justification?', yesOrNo)
    .option('--second-rotation <how>', 'within a grace: end-oldest or refuse')
    .option('--self-rotate <yes|no>', 'may the holder rotate a key with the key alone?', yesOrNo)
    .option('--self-revoke <yes|no>', 'may the holder revoke a key with the key alone?', yesOrNo)
    .option(
      '--expiry-warnings <list>',
      'how long before its end an owner is warned, e.g. P30D,P7D; "none": never',
      warnings,
    )
    .option('--rotate-every <duration>', 'how old a secret may grow, e.g. P30D')
    .option('--rotate-grace <duration>', 'how long the old secret then works beside the new one (default: PT0S)')
    .addOption(
      new Option('--rotate-mode <mode>', 'tell the owner, or do it (default: announce)').choices(ROTATION_MODES),
    )
    .addOption(new Option('--no-rotation', 'keys are not rotated by policy').conflicts('rotateEvery'))
    .option('--end-grace <rule>', 'at-deadline, or e.g. when-idle:PT6H')
    .option('--failed-delivery <rule>', 'of a secret that cannot be delivered: keep the grace, or e.g. extend:P7D')
    .option('--unused-after <duration>', 'how long a key may stay unused')
    .addOption(new Option('--unused-action <action>', 'then (default: announce)').choices(UNUSED_ACTIONS))
    .addOption(new Option('--no-unused', 'keys may stay unused').conflicts('unusedAfter'))
    .option(
      '--leak-response <rule>',
      '[environment/kind=]revoke|suspend|alert|rotate:<duration>, e.g. test=alert or */publishable=alert; may be repeated, the first that fits holds; "default": none',
      leakRule,
    );
}

const UNUSED_ACTIONS = ['announce', 'suspend'];

const warnings = (text: string, before: string[] = []): string[] => (text === 'none' ? [] : list(text, before));

/** `[environment[/kind]=]response`, where `*` is any. */
function leakRule(text: string, before: LeakRuleInput[] = []): LeakRuleInput[] {
  if (text === 'default') return [];
  const at = text.indexOf('=');
  const [environment = '*', kind = '*', ...rest] = at < 0 ? [] : text.slice(0, at).split('/');
  const isKind = kind === '*' || kind === 'secret' || kind === 'publishable';
  if (!isKind || rest.length > 0) {
    throw new InvalidArgumentError('Write it as environment/kind=response, e.g. live/secret=rotate:PT1H.');
  }
  const response = text.slice(at + 1) as LeakRuleInput['response'];
  return [...before, { ...(environment !== '*' && { environment }), ...(kind !== '*' && { kind }), response }];
}

/** `null` takes the rule away; `undefined` leaves it as it is. */
function unusedOf({ unused, unusedAfter, unusedAction }: KeyspaceOptions): object | null | undefined {
  if (unusedAfter !== undefined) return { after: unusedAfter, action: unusedAction ?? 'announce' };
  if (unusedAction !== undefined)
    throw new UsageError('--unused-action says what happens after --unused-after: name both');
  return unused === false ? null : undefined;
}

function policyOf(options: KeyspaceOptions): Record<string, unknown> | undefined {
  const { defaultLifetime, maxLifetime, defaultGrace, maxGrace, nonExpiring, secondRotation } = options;
  const { selfRotate, selfRevoke, anyScopes } = options;
  const scopes = anyScopes ? null : options.scopes;
  const { expiryWarnings, endGrace, failedDelivery, leakResponse: leaks } = options;
  const policy = {
    defaultLifetime,
    maxLifetime,
    defaultGrace,
    maxGrace,
    scopes,
    nonExpiring,
    secondRotation,
    selfRotate,
    selfRevoke,
    expiryWarnings,
    rotation: rotationOf(options),
    endGrace,
    failedDelivery,
    unused: unusedOf(options),
    leaks,
  };
  return Object.values(policy).some((value) => value !== undefined) ? policy : undefined;
}

function pathOf(id: string): string {
  return pathTo('/v1/keyspaces', id, 'keyspace');
}

const KEYSPACE_COLUMNS: Column<KeyspaceView>[] = [
  { head: 'KEYSPACE', of: ({ keyspaceId }) => keyspaceId, whole: true },
  { head: 'NAME', of: ({ name }) => name },
  { head: 'ENVIRONMENTS', of: ({ environments }) => environments.join(', ') },
  { head: 'LIFETIME', of: ({ policy }) => `${policy.defaultLifetime} (max ${policy.maxLifetime})` },
  { head: 'GRACE', of: ({ policy }) => `${policy.defaultGrace} (max ${policy.maxGrace})` },
  { head: 'ARCHIVED', of: ({ archivedAt }) => archivedAt },
];

function keyspaceText(keyspace: KeyspaceView): string {
  const { policy } = keyspace;
  return fields([
    ['keyspace', keyspace.keyspaceId],
    ['name', keyspace.name],
    ['environments', keyspace.environments.join(', ')],
    ['lifetime', `${policy.defaultLifetime}, at most ${policy.maxLifetime}`],
    ['grace', `${policy.defaultGrace}, at most ${policy.maxGrace}`],
    ['scopes', policy.scopes?.join(', ') ?? 'any'],
    ['non-expiring', policy.nonExpiring ? 'allowed, with a justification' : 'not allowed'],
    ['second rotation', policy.secondRotation],
    ['by the holder', selfService(policy)],
    ['expiry warnings', policy.expiryWarnings.join(', ') || 'none'],
    ['rotation', rotationRuleText(policy.rotation)],
    ['end of a grace', policy.endGrace],
    ['failed delivery', policy.failedDelivery],
    ['unused keys', policy.unused ? `${policy.unused.action} after ${policy.unused.after}` : 'may stay unused'],
    ['leaks', leaksText(policy)],
    ['archived', keyspace.archivedAt],
    ['revision', String(keyspace.revision)],
  ]);
}

function selfService({ selfRotate, selfRevoke }: KeyspaceView['policy']): string {
  const allowed = [...(selfRotate ? ['rotate'] : []), ...(selfRevoke ? ['revoke'] : [])];
  return allowed.length > 0 ? allowed.join(', ') : 'nothing';
}

function leaksText({ leaks }: KeyspaceView['policy']): string {
  const rules = leaks.map(({ environment = '*', kind = '*', response }) => `${environment}/${kind}=${response}`);
  return [...rules, '*/secret=revoke', '*/publishable=alert'].join(', ');
}
