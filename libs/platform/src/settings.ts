import { durationSeconds } from '@keyledger/contracts';
import ipaddr from 'ipaddr.js';
import { resolve } from 'node:path';
import { NotUsable, type Variable } from './config.js';
import type { Pepper } from './digests.js';
import { makeFolder } from './folders.js';
import { LOG_LEVELS, type LogLevel } from './logger.js';
import { PERSONAL_DATA_MODES, type PersonalDataMode } from './personal-data.js';
import type { SealingKey } from './sealing.js';

/**
 * Every environment variable that any part of Keyledger reads, once. Each app loads the ones that it needs;
 * docs/configuration.md is this table.
 */
export const SETTINGS = {
  eventStoreUrl: url(
    'EVENTSTORE_URL',
    ['kurrentdb:', 'kurrentdb+discover:', 'esdb:', 'esdb+discover:', 'kdb:', 'kdb+discover:'],
    {
      description:
        'where the events are: a connection string of EventStoreDB or KurrentDB; `npm run up` runs its own if unset',
    },
  ),
  redisUrl: url(
    'REDIS_URL',
    ['redis:', 'rediss:', 'redis+sentinel:', 'rediss+sentinel:', 'redis+cluster:', 'rediss+cluster:'],
    {
      description: 'where the read model is: Redis, Sentinel or Cluster; `npm run up` runs its own if unset',
    },
  ),
  host: variable('KEYLEDGER_HOST', '127.0.0.1', 'the address that api, verifier and worker bind', host),
  apiPort: variable('KEYLEDGER_API_PORT', '7400', 'the HTTP port of api; 0 takes a free one', port),
  verifierPort: variable('KEYLEDGER_VERIFIER_PORT', '7401', 'the HTTP port of verifier', port),
  workerPort: variable('KEYLEDGER_WORKER_PORT', '7402', 'the HTTP port of worker (health and metrics)', port),
  eventStorePort: variable('KEYLEDGER_EVENTSTORE_PORT', '7410', 'the loopback port of the embedded event store', port),
  redisPort: variable('KEYLEDGER_REDIS_PORT', '7411', 'the loopback port of the embedded Redis', port),
  dataDir: variable(
    'KEYLEDGER_DATA_DIR',
    './data',
    'the folder of what the embedded event store and Redis keep, of the keys of personal data and the hashes of the audit log',
    word,
  ),
  adminKey: {
    name: 'KEYLEDGER_ADMIN_KEY',
    description: 'the first management key, 32 characters or more; made and shown once if unset',
    optional: true,
    secret: true,
    parse: adminKey,
  } as Variable<string | undefined>,
  peppers: {
    name: 'KEYLEDGER_PEPPERS',
    description:
      'secrets for hashing keys, `id:base64` pairs separated by commas, the first is current; none: plain SHA-256',
    default: '',
    secret: true,
    parse: peppers,
  } as Variable<Pepper[]>,
  sealingKeys: {
    name: 'KEYLEDGER_SEALING_KEYS',
    description:
      'keys under which secrets of channels and the data keys of personal data are encrypted, `id:base64` pairs of 32 bytes separated by commas, the first is current; `npm run up` makes one in the data folder if unset',
    default: '',
    secret: true,
    parse: sealingKeys,
  } as Variable<SealingKey[]>,
  personalData: variable(
    'KEYLEDGER_PERSONAL_DATA',
    'encrypted',
    'what is kept of addresses, user agents, contacts and on whose behalf something is done: encrypted, omitted, or plain; without a sealing key `encrypted` keeps none of it',
    personalData,
  ),
  subjectKeysDir: {
    name: 'KEYLEDGER_SUBJECT_KEYS_DIR',
    description:
      'the folder of the data keys under which personal data is encrypted, made if need be; `subjects` in the data folder if unset',
    optional: true,
    parse: folder,
  } as Variable<string | undefined>,
  signingKey: {
    name: 'KEYLEDGER_SIGNING_KEY',
    description:
      'the Ed25519 key that signs checkpoints of the audit log, `PRIVATE+KEY+name+id+base64`; former keys behind it, separated by commas, stay trusted; `npm run up` makes one in the data folder if unset',
    default: '',
    secret: true,
    parse: signingKeys,
  } as Variable<string>,
  auditOrigin: variable(
    'KEYLEDGER_AUDIT_ORIGIN',
    '',
    'what checkpoints call the audit log; the name of the signing key if unset. It can never change',
    origin,
  ),
  auditCheckpointSeconds: variable(
    'KEYLEDGER_AUDIT_CHECKPOINT_SECONDS',
    '60',
    'how often the head of the audit log is signed, if anything has happened',
    (text) => integer(text, 1, 86_400),
  ),
  auditPublish: {
    name: 'KEYLEDGER_AUDIT_PUBLISH',
    description:
      'places outside that get every checkpoint, separated by commas: `file:///folder`, `git+file:///repository`, `https://…`',
    default: '',
    // The address of a webhook is often its credential.
    secret: true,
    parse: publishPlaces,
  } as Variable<PublishPlace[]>,
  auditCheckHours: variable(
    'KEYLEDGER_AUDIT_CHECK_HOURS',
    '24',
    'how often the worker checks the whole log against every checkpoint; 0: never',
    (text) => integer(text, 0, 8760),
  ),
  trustedProxies: variable(
    'KEYLEDGER_TRUSTED_PROXIES',
    '',
    'addresses or CIDR blocks, separated by commas, of proxies whose X-Forwarded-For is believed',
    proxies,
  ),
  githubKeysUrl: variable(
    'KEYLEDGER_GITHUB_KEYS_URL',
    'https://api.github.com/meta/public_keys/secret_scanning',
    'where the public keys are under which GitHub signs its leak reports',
    httpUrl,
  ),
  allowedTargets: variable(
    'KEYLEDGER_ALLOWED_TARGETS',
    '',
    'addresses or CIDR blocks, separated by commas, beyond the public ones to which webhooks may go; `npm run up` on loopback allows loopback if unset',
    proxies,
  ),
  smtpUrl: {
    name: 'KEYLEDGER_SMTP_URL',
    description: 'the mail server: `smtp://[user:password@]host:587`, `smtps://…:465`; unset: no e-mail channels',
    optional: true,
    secret: true,
    parse: smtpUrl,
  } as Variable<string | undefined>,
  smtpFrom: variable(
    'KEYLEDGER_SMTP_FROM',
    'Keyledger <keyledger@localhost>',
    'the sender of mails, `name <address>`',
    sender,
  ),
  notificationRetries: variable(
    'KEYLEDGER_NOTIFICATION_RETRIES',
    'PT5S,PT5M,PT30M,PT2H,PT5H,PT10H,PT14H,PT20H,PT24H',
    'the pauses before a message to a channel is tried again, ISO-8601, each lengthened by up to a fifth by chance',
    durations,
  ),
  logLevel: variable('KEYLEDGER_LOG_LEVEL', 'info', `what is logged: ${LOG_LEVELS.join(', ')}`, logLevel),
  maxStalenessSeconds: variable(
    'KEYLEDGER_MAX_STALENESS_SECONDS',
    '300',
    'how old the read model may be before verification answers 503',
    (text) => integer(text, 5, 86_400),
  ),
  usageIntervalSeconds: variable(
    'KEYLEDGER_USAGE_INTERVAL_SECONDS',
    '3600',
    "how often a key's use is put on record at most; its first use is at once",
    (text) => integer(text, 1, 86_400),
  ),
  cliUrl: variable('KEYLEDGER_URL', 'http://127.0.0.1:7400', 'the api that the command line talks to', word),
  tourVerifierUrl: variable('KEYLEDGER_VERIFIER_URL', 'http://127.0.0.1:7401', 'the verifier that the tour asks', word),
  cliKey: {
    name: 'KEYLEDGER_KEY',
    description: 'the management key that the command line presents',
    optional: true,
    secret: true,
    parse: (text: string) => text,
  } as Variable<string | undefined>,
};

/** Those that one app reads. */
export function settings<K extends keyof typeof SETTINGS>(...names: readonly K[]): Pick<typeof SETTINGS, K> {
  return Object.fromEntries(names.map((name) => [name, SETTINGS[name]])) as Pick<typeof SETTINGS, K>;
}

function variable<T>(name: string, value: string, description: string, parse: (text: string) => T): Variable<T> {
  return { name, default: value, description, parse };
}

function url(name: string, schemes: readonly string[], rest: { description: string }): Variable<string> {
  const parse = (text: string): string => {
    const scheme = /^[a-z+]+:/.exec(text)?.[0];
    if (scheme === undefined || !schemes.includes(scheme) || !/^[a-z+]+:\/\/[^/?\s]+/.test(text)) {
      const right = schemes.map((one) => `${one}//`).join(', ');
      throw new NotUsable('is no address of that kind', `an address that begins with one of ${right}`);
    }
    if (hostsIn(text).every(hasPossiblePort)) return text;
    throw new NotUsable('names a port that there is none', 'a port from 1 to 65535 behind each host that has one');
  };
  return { name, ...rest, secret: true, parse };
}

/** Without the credentials, whose password may look like anything. */
function hostsIn(url: string): string[] {
  const [authority = ''] = url.replace(/^[a-z+]+:\/\/(?:[^:@/]*:[^@]*@)?/, '').split(/[/?]/);
  return authority.slice(authority.lastIndexOf('@') + 1).split(',');
}

function hasPossiblePort(host: string): boolean {
  const given = /:(\d+)$/.exec(host)?.[1];
  // Without brackets the end of an IPv6 address looks like a port.
  if (given === undefined || host.replace(/\[.*\]/, '').split(':').length > 2) return true;
  return Number(given) >= 1 && Number(given) <= 65_535;
}

function httpUrl(text: string): string {
  if (/^https?:\/\/[^/?#\s@]+(?:[/?][^\s#]*)?$/.test(text)) return text;
  throw new NotUsable('is no address of a web page', 'an http or https URL without a password');
}

function word(text: string): string {
  return text;
}

/** What is no name at all; whether this machine has such an address is seen when it is bound. */
function host(text: string): string {
  if (ipaddr.isValid(text) || /^[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,251}[A-Za-z0-9_])?$/.test(text)) return text;
  throw new NotUsable(
    'is no address',
    'an IP address of this machine or a name of it, e.g. "127.0.0.1", "0.0.0.0" or "::"',
  );
}

/**
 * A folder that was chosen is there from the start on, made if need be: one that cannot be made would be missed at the
 * first change only. What is full, or lost, later is no matter of settings.
 */
function folder(text: string): string {
  try {
    makeFolder(resolve(text), 0o700);
    return text;
  } catch (error) {
    throw new NotUsable(
      `is no folder and cannot be one (${(error as Error).message})`,
      'a folder, or where one can be made',
    );
  }
}

function integer(text: string, least: number, most: number): number {
  const value = /^\d{1,9}$/.test(text) ? Number(text) : NaN;
  if (value >= least && value <= most) return value;
  throw new NotUsable('is no whole number in range', `${least} to ${most}`);
}

function port(text: string): number {
  return integer(text, 0, 65_535);
}

function logLevel(text: string): LogLevel {
  const level = LOG_LEVELS.find((one) => one === text);
  if (level) return level;
  throw new NotUsable('is no log level', `one of ${LOG_LEVELS.join(', ')}`);
}

function personalData(text: string): PersonalDataMode {
  const mode = PERSONAL_DATA_MODES.find((one) => one === text);
  if (mode) return mode;
  throw new NotUsable('is no way of keeping personal data', `one of ${PERSONAL_DATA_MODES.join(', ')}`);
}

function adminKey(text: string): string {
  if (/^[\x21-\x7e]{32,512}$/.test(text)) return text;
  throw new NotUsable(
    'is too short, too long or has spaces or letters beyond ASCII',
    '32 to 512 visible ASCII characters',
  );
}

function proxies(text: string): string[] {
  const blocks = list(text);
  for (const [index, block] of blocks.entries()) {
    if (!ipaddr.isValid(block) && !ipaddr.isValidCIDR(block)) {
      throw new NotUsable(
        `has an entry ${index + 1} that is no address`,
        'addresses or CIDR blocks, e.g. "10.0.0.0/8, ::1"',
      );
    }
  }
  return blocks;
}

function smtpUrl(text: string): string {
  if (/^smtps?:\/\/(?:[^@/\s]+@)?[^@/?\s]+\/?(?:\?\S*)?$/.test(text) && URL.canParse(text)) return text;
  throw new NotUsable(
    'is no address of a mail server',
    'smtp://host:587 or smtps://host:465, with user:password@ if it wants one',
  );
}

function sender(text: string): string {
  if (/^(?:[^<>@\r\n]{1,100} <[^\s<>@]+@[^\s<>@]+>|[^\s<>@]+@[^\s<>@]+)$/.test(text)) return text;
  throw new NotUsable('is no sender', '"Name <address@host>" or "address@host"');
}

/** Milliseconds each; at least one. */
function durations(text: string): number[] {
  const seconds = list(text).map((entry) => durationSeconds(entry));
  const right = seconds.every((one) => one !== undefined) && seconds.length > 0 && seconds.length <= 50;
  if (right) return seconds.map((one) => one * 1000);
  throw new NotUsable('has an entry that is no duration', '1 to 50 ISO-8601 durations, e.g. "PT5S,PT5M,PT1H"');
}

function peppers(text: string): Pepper[] {
  return namedKeys(text, 'pepper', 'at least 32 bytes', (length) => length >= 32);
}

function sealingKeys(text: string): SealingKey[] {
  return namedKeys(text, 'sealing key', 'exactly 32 bytes', (length) => length === 32);
}

const SIGNING_KEY = /^PRIVATE\+KEY\+[^\s+,]+\+[0-9a-f]{8}\+[A-Za-z0-9+/]+={0,2}$/;
const VERIFIER_KEY = /^[^\s+,]+\+[0-9a-f]{8}\+[A-Za-z0-9+/]+={0,2}$/;

/** By their shape only; whether the parts belong together libs/audit says, to whoever signs. */
function signingKeys(text: string): string {
  for (const [index, entry] of list(text).entries()) {
    if (SIGNING_KEY.test(entry) || (index > 0 && VERIFIER_KEY.test(entry))) continue;
    throw new NotUsable(
      `has an entry ${index + 1} that is no signing key`,
      '`PRIVATE+KEY+name+id+base64` (keyledger audit new-key makes one); behind the first also former public keys',
    );
  }
  return text;
}

function origin(text: string): string {
  if (/^[\x21-\x7e]{0,200}$/.test(text)) return text;
  throw new NotUsable('is no origin', 'at most 200 visible ASCII characters, e.g. keys.example.com/audit');
}

/** A place outside to which checkpoints are published. */
export interface PublishPlace {
  kind: 'folder' | 'git' | 'webhook';
  /** Path of the folder or repository, or the address. */
  target: string;
}

const PLACE_KINDS: Record<string, PublishPlace['kind']> = {
  'file:': 'folder',
  'git+file:': 'git',
  'https:': 'webhook',
  'http:': 'webhook',
};
const LOOPBACK = /^(?:localhost|127\.\d+\.\d+\.\d+|\[::1\])$/;

function publishPlaces(text: string): PublishPlace[] {
  return list(text).map((entry, index) => {
    const url = URL.canParse(entry) ? new URL(entry) : undefined;
    const kind = url && PLACE_KINDS[url.protocol];
    const plainOutside = url?.protocol === 'http:' && !LOOPBACK.test(url.hostname);
    if (!url || !kind || plainOutside || (kind !== 'webhook' && (url.host !== '' || url.pathname.length < 2))) {
      throw new NotUsable(
        `has an entry ${index + 1} that is no place`,
        'file:///folder, git+file:///repository or https://…; http:// to this machine only',
      );
    }
    return { kind, target: kind === 'webhook' ? entry : decodeURIComponent(url.pathname) };
  });
}

function namedKeys(
  text: string,
  what: string,
  size: string,
  fits: (length: number) => boolean,
): { id: string; key: Buffer }[] {
  const parsed = list(text).map((entry, index) => {
    const [, id, encoded] = /^([A-Za-z0-9-]{1,32}):([A-Za-z0-9+/_-]+={0,2})$/.exec(entry) ?? [];
    const key = Buffer.from(encoded ?? '', 'base64');
    if (id === undefined || !fits(key.length)) {
      throw new NotUsable(
        `has an entry ${index + 1} that is no ${what}`,
        `\`id:base64\` with an id of 1 to 32 letters, digits or "-" and ${size} (openssl rand -base64 32)`,
      );
    }
    return { id, key };
  });
  if (new Set(parsed.map(({ id }) => id)).size < parsed.length) {
    throw new NotUsable(`names one ${what} twice`, 'an id of its own for each, because what is stored names it');
  }
  return parsed;
}

function list(text: string): string[] {
  return text
    .split(',')
    .map((entry) => entry.trim())
    .filter((entry) => entry !== '');
}
