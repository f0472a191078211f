import { readFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { CHANNEL_FORMATS, CHANNEL_TYPES, HEADERS, NOTIFICATION_KINDS } from '@keyledger/contracts';
import type {
  ChannelList,
  ChannelView,
  ChannelWithSecret,
  NotificationSummary,
  TestedChannel,
} from '@keyledger/contracts/http';
import { Command, Option } from 'commander';
import { EXIT, UsageError, type ExitCode } from '../exit.js';
import { changing, examples, list, paged, wholeNumber, yieldingSecret } from '../options.js';
import { fields, messageOf } from '../print.js';
import { table, type Column } from '../table.js';
import type { RunWith } from '../run.js';
import { readSecretFile } from '../secret-file.js';
import { pathTo } from '../id.js';
import { giveNewSecret, type SecretOptions } from '../new-secret.js';
import type { ChangeOptions, Session } from '../session.js';
import { listen } from './listen.js';

const POLL_MS = 250;

interface TargetOptions {
  targetUrl?: string;
  targetUrlFile?: string;
  addresses?: string[];
  publicKey?: string;
  via?: string;
  format?: string;
}

interface ChannelOptions extends ChangeOptions, TargetOptions {
  name?: string;
  kinds?: string[];
}

interface CreateOptions extends ChannelOptions, SecretOptions {
  type: string;
  keyspace?: string;
  owner?: string;
  system?: boolean;
}

interface UpdateOptions extends ChannelOptions {
  allKinds?: boolean;
  enable?: boolean;
  disable?: boolean;
  ifMatch?: number;
}

export function channelsCommand(runWith: RunWith): Command {
  const channels = new Command('channels').description('where news about keys goes, and where new secrets go');
  createCommand(channels, runWith);
  listAndShow(channels, runWith);
  updateCommand(channels, runWith);
  remove(channels, runWith);
  testCommand(channels, runWith);
  rotateSecret(channels, runWith);
  listenCommand(channels, runWith);
  return channels;
}

function createCommand(channels: Command, runWith: RunWith): void {
  examples(
    yieldingSecret(changing(withTerms(channels.command('create')))),
    'channels create --type webhook --keyspace acme --target-url https://hooks.example/keyledger --secret-file hook.secret',
    'channels create --type email --owner app-7 --addresses oncall@example.com --kinds key.leaked,key.expiring',
    'channels create --type webhook --system --target-url https://siem.example/in --format cloudevents --secret-file siem.secret',
    'channels create --type receiver --owner app-7 --keyspace acme --public-key app-7.jwk --via pickup',
  )
    .description('register a channel; a webhook’s signing secret is given out this once')
    .addOption(new Option('--type <type>', 'what it is').choices(CHANNEL_TYPES).makeOptionMandatory())
    .option('--keyspace <id>', 'news of this keyspace')
    .option('--owner <id>', 'news of this owner’s keys; with --keyspace those in it')
    .option('--system', 'all news')
    .action(runWith((session, _: [], options: CreateOptions) => create(session, options)));
}

function listAndShow(channels: Command, runWith: RunWith): void {
  examples(paged(channels.command('list')), 'channels list')
    .description('list the channels')
    .action(
      runWith(async (session, _: [], { limit, cursor }: { limit?: number; cursor?: string }) => {
        const page = await session.call<ChannelList>({ method: 'GET', path: '/v1/channels', query: { limit, cursor } });
        session.show(page, () => table(page.items, COLUMNS, session.terminal));
        session.noteMore(page);
      }),
    );

  examples(channels.command('show').argument('<channel>', 'its id'), 'channels show 4f9kQ2LmZ7aB4f9kQ2LmZ7')
    .description('show a channel')
    .action(
      runWith(async (session, [id]) => {
        const channel = await session.call<ChannelView>({ method: 'GET', path: pathOf(id) });
        session.show(channel, () => channelText(channel));
      }),
    );
}

function updateCommand(channels: Command, runWith: RunWith): void {
  examples(
    changing(withTerms(channels.command('update').argument('<channel>', 'its id')), { repeatable: false }),
    'channels update 4f9kQ2LmZ7aB4f9kQ2LmZ7 --enable',
    'channels update 4f9kQ2LmZ7aB4f9kQ2LmZ7 --target-url https://hooks.example/new --all-kinds',
  )
    .description('change the name, the target or the kinds; stop sending, or begin again')
    .option('--all-kinds', 'tell it everything')
    .option('--enable', 'send again, also after the receiver answered 410')
    .option('--disable', 'send nothing for now')
    .option('--if-match <revision>', 'only if the channel still has this revision', wholeNumber(0, 1e15))
    .action(runWith((session, [id], options: UpdateOptions) => update(session, id, options)));
}

function remove(channels: Command, runWith: RunWith): void {
  examples(
    changing(channels.command('remove').argument('<channel>', 'its id'), { repeatable: false }),
    'channels remove 4f9kQ2LmZ7aB4f9kQ2LmZ7 --reason "service is gone"',
  )
    .description('remove a channel; what waits to be sent there fails')
    .action(
      runWith(async (session, [id], { reason, onBehalfOf }: ChangeOptions) => {
        const headers = { [HEADERS.reason]: reason, [HEADERS.onBehalfOf]: onBehalfOf };
        await session.call({ method: 'DELETE', path: pathOf(id), headers });
        session.note(`The channel ${id} is removed.`);
      }),
    );
}

function testCommand(channels: Command, runWith: RunWith): void {
  examples(changing(channels.command('test').argument('<channel>', 'its id')), 'channels test 4f9kQ2LmZ7aB4f9kQ2LmZ7')
    .description('send a test message and wait for what becomes of it')
    .option('--wait-seconds <seconds>', 'at most so long', wholeNumber(1, 600), 60)
    .action(runWith((session, [id], options: ChangeOptions & { waitSeconds: number }) => test(session, id, options)));
}

function rotateSecret(channels: Command, runWith: RunWith): void {
  examples(
    yieldingSecret(changing(channels.command('rotate-secret').argument('<channel>', 'its id'))),
    'channels rotate-secret 4f9kQ2LmZ7aB4f9kQ2LmZ7 --overlap P2D --secret-file hook.secret',
  )
    .description('give a webhook a new signing secret; both sign until the overlap is over')
    .option('--overlap <duration>', 'how long the old one signs too (default: P1D)')
    .action(
      runWith(async (session, [id], options: ChangeOptions & SecretOptions & { overlap?: string }) => {
        const path = `${pathOf(id)}/rotate-secret`;
        await giveSigningSecret(session, path, { overlap: options.overlap }, options);
      }),
    );
}

function listenCommand(channels: Command, runWith: RunWith): void {
  examples(channels.command('listen'), 'channels listen --port 9000 --secret-file hook.secret')
    .description('receive webhooks on this machine, verify their signatures and print them: to try a channel out')
    .option('--port <port>', 'of loopback; 0 takes a free one', wholeNumber(0, 65_535), 9000)
    .requiredOption('--secret-file <file>', 'holds the signing secret; may appear later')
    .option('--count <n>', 'end after so many messages', wholeNumber(1, 1_000_000))
    .action(
      runWith((session, _: [], options: { port: number; secretFile: string; count?: number }) =>
        listen(session, options),
      ),
    );
}

function withTerms(command: Command): Command {
  return command
    .option('--name <name>', 'for people')
    .option('--target-url <url>', 'of a webhook, or of a receiver told by webhook')
    .option('--target-url-file <file>', 'holds the URL, for a Slack webhook whose URL is its credential')
    .option('--addresses <list>', 'of e-mail', list)
    .option('--public-key <file>', 'of a receiver: a public JWK of P-256 or X25519')
    .addOption(new Option('--via <how>', 'how a receiver gets a new secret').choices(['webhook', 'pickup']))
    .addOption(
      new Option('--format <format>', 'of a webhook that gets the audit trail instead of news').choices(
        CHANNEL_FORMATS,
      ),
    )
    .option('--kinds <list>', `what it is told, of ${NOTIFICATION_KINDS.join(', ')} (default: everything)`, list);
}

async function create(session: Session, options: CreateOptions): Promise<void> {
  const { type, keyspace, owner, kinds, name = type } = options;
  if (options.system && (keyspace !== undefined || owner !== undefined)) {
    throw new UsageError('--system is all news: leave out --keyspace and --owner');
  }
  if (!options.system && keyspace === undefined && owner === undefined) {
    throw new UsageError('Say whose news it gets: --keyspace, --owner or --system');
  }
  const audience = options.system ? 'system' : { keyspaceId: keyspace, ownerId: owner };
  const body = { name, type, audience, target: await targetOf(options), kinds };
  const isSigned = type === 'webhook' || options.via === 'webhook';
  if (isSigned) return giveSigningSecret(session, '/v1/channels', body, options);
  const made = await session.change<ChannelView>('POST', '/v1/channels', body, options);
  session.show(made, () => channelText(made));
}

async function update(session: Session, id: string, options: UpdateOptions): Promise<void> {
  const { name, allKinds, enable, disable } = options;
  if (enable && disable) throw new UsageError('--enable or --disable, not both');
  const target = await targetOf(options);
  const body = {
    name,
    kinds: allKinds ? null : options.kinds,
    ...(Object.keys(target).length > 0 && { target }),
    ...((enable || disable) && { enabled: enable === true }),
  };
  const changed = await session.change<ChannelView>('PATCH', pathOf(id), body, options);
  session.show(changed, () => channelText(changed));
}

async function test(
  session: Session,
  id: string,
  { waitSeconds, ...options }: ChangeOptions & { waitSeconds: number },
): Promise<ExitCode> {
  const { notificationId } = await session.change<TestedChannel>('POST', `${pathOf(id)}/test`, {}, options);
  const path = `/v1/notifications/${notificationId}`;
  const giveUpAt = Date.now() + waitSeconds * 1000;
  for (;;) {
    const seen = await session.call<NotificationSummary>({ method: 'GET', path });
    if (seen.state !== 'pending' || Date.now() > giveUpAt) {
      session.show(seen, () =>
        fields([
          ['notification', notificationId],
          ['state', seen.state],
          ['answer', seen.outcome],
        ]),
      );
      return seen.state === 'delivered' ? EXIT.ok : EXIT.refused;
    }
    await delay(POLL_MS);
  }
}

/** Through the same door as the secrets of keys: to a file or to standard output, as the options say. */
async function giveSigningSecret(
  session: Session,
  path: string,
  body: unknown,
  options: ChangeOptions & SecretOptions,
): Promise<void> {
  const of = ({ channelId }: ChannelView): string => `channel ${channelId}`;
  const request = { path, body, name: 'signingSecret', of, text: channelText } as const;
  await giveNewSecret<ChannelWithSecret>(session, request, options);
}

async function targetOf({
  targetUrl,
  targetUrlFile,
  addresses,
  publicKey,
  via,
  format,
}: TargetOptions): Promise<Record<string, unknown>> {
  const address = targetUrlFile === undefined ? targetUrl : await readSecretFile(targetUrlFile);
  const target = {
    url: address,
    addresses,
    via,
    format,
    publicKey: publicKey === undefined ? undefined : await jwkIn(publicKey),
  };
  return Object.fromEntries(Object.entries(target).filter(([, value]) => value !== undefined));
}

async function jwkIn(file: string): Promise<unknown> {
  try {
    const { kty, crv, x, y, kid, d } = JSON.parse(await readFile(file, 'utf8')) as Record<string, unknown>;
    if (d !== undefined) throw new Error('it holds the private key too; give its public part only');
    return { kty, crv, x, y, kid };
  } catch (error) {
    throw new UsageError(`${file} is no public JWK: ${messageOf(error)}`);
  }
}

const pathOf = (id: string | undefined): string => pathTo('/v1/channels', id, 'channel');

function audienceText({ audience }: ChannelView): string {
  if (audience === 'system') return 'system';
  const parts = { ...audience } as { keyspaceId?: string; ownerId?: string };
  return [parts.keyspaceId && `keyspace ${parts.keyspaceId}`, parts.ownerId && `owner ${parts.ownerId}`]
    .filter(Boolean)
    .join(', ');
}

function targetText({ target }: ChannelView): string {
  return [
    target.url,
    target.addresses?.join(', '),
    target.via && `by ${target.via}`,
    target.format && `as ${target.format}`,
  ]
    .filter(Boolean)
    .join(', ');
}

const COLUMNS: Column<ChannelView>[] = [
  { head: 'CHANNEL', of: ({ channelId }) => channelId, whole: true },
  { head: 'NAME', of: ({ name }) => name },
  { head: 'TYPE', of: ({ type }) => type },
  { head: 'FOR', of: audienceText },
  { head: 'TARGET', of: targetText },
  {
    head: 'STATE',
    of: ({ disabledBecause }) => (disabledBecause === undefined ? 'enabled' : `disabled: ${disabledBecause}`),
  },
];

function channelText(channel: ChannelWithSecret): string {
  return fields([
    ['channel', channel.channelId],
    ['name', channel.name],
    ['type', channel.type],
    ['for', audienceText(channel)],
    ['target', targetText(channel)],
    [
      'kinds',
      channel.kinds?.join(', ') ??
        (channel.type === 'receiver' ? undefined : channel.target.format ? 'the audit trail' : 'everything'),
    ],
    ['state', channel.disabledBecause === undefined ? 'enabled' : `disabled: ${channel.disabledBecause}`],
    [
      'signed by',
      channel.secrets.map(({ secretId, endsAt }) => (endsAt ? `${secretId} until ${endsAt}` : secretId)).join(', '),
    ],
    ['signing secret', channel.signingSecret],
    ['revision', String(channel.revision)],
  ]);
}
