import { KEY_KINDS, KEY_STATES, REVOCATION_REASONS } from '@keyledger/contracts';
import { Command, Option } from 'commander';
import { EXIT, UsageError } from '../exit.js';
import { changing, examples, list, pairs, wholeNumber, yieldingSecret } from '../options.js';
import { owning, rotating, rotationOf, seconds, type RotationOptions } from '../key-options.js';
import type { RunWith } from '../run.js';
import { pathTo } from '../id.js';
import { giveNewSecret, type SecretOptions } from '../new-secret.js';
import type { ChangeOptions, Session } from '../session.js';
import type {
  ChangedKey,
  IssuedKey,
  KeyList,
  KeyView,
  RevokedKey,
  RotatedKey,
  RotationView,
} from '@keyledger/contracts/http';
import { importKeys, revokeKeys, type RevokeManyOptions } from './bulk.js';
import { issuedText, keyTable, keyText, revokedText, rotatedText, rotationText } from './key-text.js';

interface OwnerOptions {
  owner?: string;
  ownerType?: string;
  ownerName?: string;
  ownerEmail?: string;
}

interface IssueOptions extends ChangeOptions, SecretOptions, OwnerOptions, RotationOptions {
  keyspace: string;
  environment: string;
  name: string;
  owner: string;
  kind?: string;
  scopes: string[];
  lifetime?: string;
  expiresAt?: string;
  neverExpires?: boolean;
  notBefore?: string;
  address?: string[];
  origin?: string[];
  metadata?: Record<string, string>;
  justification?: string;
  decoy?: boolean;
}

export function keysCommand(runWith: RunWith): Command {
  const keys = new Command('keys').description('issue, show, rotate, suspend and revoke keys');
  issue(keys, runWith);
  importCommand(keys, runWith);
  listAndShow(keys, runWith);
  update(keys, runWith);
  rotate(keys, runWith);
  suspendAndReinstate(keys, runWith);
  revoke(keys, runWith);
  revokeMany(keys, runWith);
  return keys;
}

function issue(keys: Command, runWith: RunWith): void {
  const command = keys
    .command('issue')
    .description('issue a key; its secret is in the answer, this once')
    .requiredOption('--keyspace <id>', 'where the key lives')
    .requiredOption('--environment <name>', 'one of the keyspace, e.g. live')
    .requiredOption('--name <name>', 'for people');
  owning(command, { mandatory: true })
    .option('--scopes <list>', 'what the key may do, e.g. payments:read,refunds:*', list, [])
    .addOption(new Option('--kind <kind>', 'secret stays on servers, publishable may be seen').choices(KEY_KINDS))
    .option('--lifetime <duration>', 'e.g. P90D (default: the policy of the keyspace)')
    .addOption(new Option('--expires-at <instant>', 'e.g. 2027-01-31T00:00:00Z').conflicts('lifetime'))
    .addOption(new Option('--never-expires', 'needs --justification').conflicts(['lifetime', 'expiresAt']))
    .option('--justification <text>', 'why a key may live for ever')
    .option('--not-before <instant>', 'valid from then on')
    .option('--address <cidr>', 'works from there only; may be repeated', list)
    .option('--origin <origin>', 'works for this web origin only; may be repeated', list)
    .option('--metadata <name=value>', 'your own notes; may be repeated', pairs)
    .option('--decoy', 'a bait: it verifies as NOT_FOUND, and whoever presents it raises an incident');
  rotating(command);
  examples(
    yieldingSecret(changing(command)),
    'keys issue --keyspace acme --environment live --name billing --owner app-7 --scopes payments:read --secret-file billing.key',
    'keys issue --keyspace acme --environment test --name ci --owner ci --owner-type service --lifetime P1D --show-secret --json',
  ).action(
    runWith(async (session, _, options: IssueOptions) => {
      const request = { path: '/v1/keys', body: issueBody(options), ...KEY_SECRET, text: issuedText };
      await giveNewSecret<IssuedKey>(session, request, options);
    }),
  );
}

function issueBody(options: IssueOptions): Record<string, unknown> {
  const { keyspace, environment, name, kind, scopes, lifetime, notBefore, metadata, justification, decoy } = options;
  return {
    keyspaceId: keyspace,
    environment,
    name,
    kind,
    owner: ownerOf(options),
    scopes,
    lifetime,
    expiresAt: options.neverExpires ? null : options.expiresAt,
    notBefore,
    restrictions: restrictionsOf(options),
    metadata,
    justification,
    decoy,
    rotation: rotationOf(options),
  };
}

function ownerOf({ owner, ownerType, ownerName, ownerEmail }: OwnerOptions): object | undefined {
  const contact = ownerName === undefined && ownerEmail === undefined ? {} : { name: ownerName, email: ownerEmail };
  const described = Object.keys(contact).length > 0 || ownerType !== undefined;
  if (owner === undefined && described) throw new UsageError('Name the owner with --owner: it is replaced as a whole');
  if (owner === undefined) return undefined;
  return { id: owner, type: ownerType ?? 'application', ...(Object.keys(contact).length > 0 && { contact }) };
}

function restrictionsOf({ address, origin }: { address?: string[]; origin?: string[] }): object | undefined {
  return address || origin ? { addresses: address, origins: origin } : undefined;
}

function importCommand(keys: Command, runWith: RunWith): void {
  const command = keys
    .command('import')
    .argument('<file>', 'JSON or NDJSON, "-" for standard input')
    .description('take over keys made elsewhere, known by their SHA-256 only')
    .requiredOption('--keyspace <id>', 'where they go')
    .addHelpText('after', IMPORT_FORMAT);
  examples(
    changing(command),
    'keys import old-keys.ndjson --keyspace acme',
    'keys import - --keyspace acme --json < old-keys.json',
  ).action(
    runWith(async (session, [file], options: ChangeOptions & { keyspace: string }) =>
      importKeys(session, file, options.keyspace, options),
    ),
  );
}

const IMPORT_FORMAT = `
Each item: {"sha256": hex or base64 of the key's SHA-256, "environment", "name", "owner": {"id", "type"}, "scopes": [],
"expiresAt"?, "metadata"?, "externalId"?}; as a JSON list, as {"keys": [...]}, or one item a line.
Up to 1000 go in one request. A malformed item refuses its whole request, of which nothing is imported. A well-formed item
that is refused is named with its place; the others are imported all the same. Either way the exit code is ${EXIT.refused}.`;

interface ListOptions {
  keyspace?: string;
  owner?: string;
  environment?: string;
  state?: string;
  expiringBefore?: string;
  unusedSince?: string;
  limit?: number;
  cursor?: string;
  all?: boolean;
}

function listAndShow(keys: Command, runWith: RunWith): void {
  examples(
    keys.command('list'),
    'keys list --keyspace acme --state active',
    'keys list --keyspace acme --expiring-before 2027-01-31T00:00:00Z',
    'keys list --keyspace acme --all --json | wc -l',
  )
    .description('list keys, oldest first')
    .option('--keyspace <id>', 'of this keyspace')
    .option('--owner <id>', 'of this owner')
    .option('--environment <name>', 'of this environment')
    .addOption(new Option('--state <state>', 'in this state').choices(KEY_STATES))
    .option('--expiring-before <instant>', 'that expire before then')
    .option('--unused-since <instant>', 'that no verification has passed since then')
    .option('--limit <n>', 'at most this many in one page', wholeNumber(1, 1000))
    .option('--cursor <cursor>', 'go on where the last page ended')
    .option('--all', 'every page; with --json one key a line')
    .action(runWith((session, _: [], options: ListOptions) => listKeys(session, options)));

  examples(keys.command('show').argument('<keyId>'), 'keys show KEY_ID')
    .description('show a key: its state, its secrets by their masks, what it may do')
    .action(
      runWith(async (session, [keyId]) => {
        const key = await session.call<KeyView>({ method: 'GET', path: pathOf(keyId) });
        session.show(key, () => keyText(key));
      }),
    );

  examples(keys.command('rotation').argument('<keyId>'), 'keys rotation KEY_ID')
    .description(
      'show how far a rotation has come: the use of both secrets, when the old one ends, when the next is due',
    )
    .action(
      runWith(async (session, [keyId]) => {
        const rotation = await session.call<RotationView>({ method: 'GET', path: `${pathOf(keyId)}/rotation` });
        session.show(rotation, () => rotationText(rotation));
      }),
    );
}

async function listKeys(session: Session, options: ListOptions): Promise<void> {
  const { keyspace: keyspaceId, owner: ownerId, all, cursor, ...rest } = options;
  const { stdout } = session.terminal;
  let next = cursor;
  do {
    const query = { keyspaceId, ownerId, cursor: next, ...rest };
    const page = await session.call<KeyList>({ method: 'GET', path: '/v1/keys', query });
    if (all && session.options.json) for (const item of page.items) stdout.write(`${JSON.stringify(item)}\n`);
    else session.show(page, () => keyTable(page.items, session.terminal));
    next = page.nextCursor;
  } while (all && next !== undefined);
  if (next !== undefined && !session.options.json) session.note(`There is more: --cursor ${next}, or --all`);
}

interface UpdateOptions extends ChangeOptions, OwnerOptions, RotationOptions {
  name?: string;
  address?: string[];
  origin?: string[];
  anywhere?: boolean;
  metadata?: Record<string, string>;
  expiresAt?: string;
  ifMatch?: number;
}

function update(keys: Command, runWith: RunWith): void {
  const command = keys
    .command('update')
    .argument('<keyId>')
    .description('change name, owner, restrictions, metadata or rotation, or bring the expiry forward')
    .option('--name <name>', 'for people');
  owning(command)
    .option('--address <cidr>', 'works from there only; may be repeated; replaces all restrictions', list)
    .option('--origin <origin>', 'works for this web origin only; may be repeated; replaces all restrictions', list)
    .addOption(new Option('--anywhere', 'lift all restrictions').conflicts(['address', 'origin']))
    .option('--metadata <name=value>', 'may be repeated; replaces all metadata', pairs)
    .option('--expires-at <instant>', 'earlier than it was')
    .option('--if-match <revision>', 'only if the key still has this revision', wholeNumber(0, 1e15));
  rotating(command);
  examples(
    changing(command, { repeatable: false }),
    'keys update KEY_ID --name billing-eu --reason "renamed with the service"',
    'keys update KEY_ID --expires-at 2027-01-01T00:00:00Z --if-match 3',
  ).action(
    runWith(async (session, [keyId], options: UpdateOptions) => {
      const { name, metadata, expiresAt } = options;
      const restrictions = options.anywhere ? {} : restrictionsOf(options);
      const rotation = rotationOf(options);
      const body = { name, owner: ownerOf(options), restrictions, metadata, expiresAt, rotation };
      if (Object.values(body).every((value) => value === undefined)) throw new UsageError('Name what shall change');
      const key = await session.change<ChangedKey>('PATCH', pathOf(keyId), body, options);
      session.show(key, () => keyText(key));
    }),
  );
}

interface RotateOptions extends ChangeOptions, SecretOptions {
  grace?: number;
  comment?: string;
}

function rotate(keys: Command, runWith: RunWith): void {
  const command = keys
    .command('rotate')
    .argument('<keyId>')
    .description('give a key a new secret; the old one works until its grace ends')
    .option(
      '--grace <duration>',
      'e.g. PT24H or 86400, 0 ends it at once (default: the policy of the keyspace)',
      seconds,
    )
    .option('--comment <text>', 'for the audit trail');
  examples(
    yieldingSecret(changing(command)),
    'keys rotate KEY_ID --grace PT24H --secret-file billing.new.key',
    'keys rotate KEY_ID --grace 0 --reason "laptop lost" --show-secret',
  ).action(
    runWith(async (session, [keyId], options: RotateOptions) => {
      const body = { graceSeconds: options.grace, reason: options.reason, comment: options.comment };
      const request = { path: `${pathOf(keyId)}/rotate`, body, ...KEY_SECRET, text: rotatedText };
      await giveNewSecret<RotatedKey>(session, request, options);
    }),
  );
}

function suspendAndReinstate(keys: Command, runWith: RunWith): void {
  const change = (verb: 'suspend' | 'reinstate', description: string, why: string): void => {
    const command = keys
      .command(verb)
      .argument('<keyId>')
      .description(description)
      .requiredOption('--reason <text>', 'why, for the audit trail')
      .option('--comment <text>', 'more about it');
    examples(changing(command, { withReason: false }), `keys ${verb} KEY_ID --reason "${why}"`).action(
      runWith(async (session, [keyId], options: ChangeOptions & { comment?: string }) => {
        const body = { reason: options.reason, comment: options.comment };
        const key = await session.change<ChangedKey>('POST', `${pathOf(keyId)}/${verb}`, body, options);
        session.show(key, () => keyText(key));
      }),
    );
  };
  change('suspend', 'refuse a key until it is reinstated', 'unusual traffic');
  change('reinstate', 'let a suspended key work again', 'it was the load test');
}

function revoking(command: Command): Command {
  const reason = new Option('--reason <code>', 'why').choices(REVOCATION_REASONS).makeOptionMandatory();
  return changing(command.addOption(reason), { withReason: false }).option('--comment <text>', 'more about it');
}

function revoke(keys: Command, runWith: RunWith): void {
  examples(
    revoking(keys.command('revoke').argument('<keyId>')),
    'keys revoke KEY_ID --reason leaked --comment "seen in a public repository"',
  )
    .description('end a key for good, at once; there is no way back')
    .action(
      runWith(async (session, [keyId], options: ChangeOptions & { comment?: string }) => {
        const body = { reason: options.reason, comment: options.comment };
        const key = await session.change<RevokedKey>('POST', `${pathOf(keyId)}/revoke`, body, options);
        session.show(key, () => revokedText(key));
      }),
    );
}

function revokeMany(keys: Command, runWith: RunWith): void {
  examples(
    revoking(keys.command('revoke-many').argument('[keyIds...]', 'or name a keyspace, an owner or both')),
    'keys revoke-many KEY_ID OTHER_KEY_ID --reason closed',
    'keys revoke-many --owner app-7 --reason offboarding --yes',
  )
    .description('end many keys for good; each is told whether it was')
    .option('--keyspace <id>', 'every key of this keyspace')
    .option('--owner <id>', 'every key of this owner')
    .option('--yes', 'needed with --keyspace or --owner: there is no way back')
    .action(runWith((session, keyIds: string[], options: RevokeManyOptions) => revokeKeys(session, keyIds, options)));
}

const KEY_SECRET = { name: 'key', of: ({ keyId }: { keyId: string }) => `key ${keyId}` } as const;

function pathOf(keyId: string): string {
  return pathTo('/v1/keys', keyId, 'keyId');
}
