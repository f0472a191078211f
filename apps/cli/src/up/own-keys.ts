import { randomBytes } from 'node:crypto';
import { closeSync, fsyncSync, linkSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { generateSignerKey, parseKeyring } from '@keyledger/audit';
import { SETTINGS } from '@keyledger/platform';
import { UpMisconfigured } from './refusal.js';

/**
 * The keys of an installation: those that the environment gives, else its own, which are made once and kept in the data
 * folder for its owner alone. They belong into a backup, apart from the events.
 */
export class OwnKeys {
  constructor(
    private readonly env: NodeJS.ProcessEnv,
    private readonly folder: string,
  ) {}

  /**
   * Seals the signing secrets of channels and the data keys of personal data, which are lost with it; `id:base64`.
   * @throws UpMisconfigured naming the file that holds no such key
   */
  sealing(): string {
    const generate = (): string => `own:${randomBytes(32).toString('base64')}`;
    const { name, parse } = SETTINGS.sealingKeys;
    return this.env[name]?.trim() || ownKey(this.folder, 'sealing', { generate, parse });
  }

  /**
   * Signs the audit log. Its name becomes the log's origin. Whoever has it and the events can make up another history.
   * @throws UpMisconfigured naming the file that holds no such key
   */
  signing(): string {
    const generate = (): string => generateSignerKey(`keyledger.local/${randomBytes(6).toString('hex')}`);
    const given = this.env[SETTINGS.signingKey.name]?.trim();
    return given || ownKey(this.folder, 'signing', { generate, parse: parseKeyring });
  }
}

interface OwnKey {
  generate: () => string;
  /** Throws, without quoting it, for what is no such key. */
  parse: (text: string) => unknown;
}

function ownKey(folder: string, what: string, { generate, parse }: OwnKey): string {
  const file = join(folder, `${what}.key`);
  try {
    const key = read(file) ?? make(file, generate());
    // An empty variable would count as one that is not set, and leave the system without the key that it had.
    if (key === '') throw new Error('it is empty');
    parse(key);
    return key;
  } catch (error) {
    const reason = (error as Error).message;
    throw new UpMisconfigured(`the ${what} key in ${file} cannot be used: ${reason}. Put back the one of your backup`);
  }
}

function read(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8').trim();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** Whole or not at all: half a key would lock away what the whole one sealed. */
function make(file: string, key: string): string {
  const draft = `${file}.${process.pid}`;
  const handle = openSync(draft, 'wx', 0o600);
  try {
    writeSync(handle, `${key}\n`);
    fsyncSync(handle);
    linkSync(draft, file);
  } finally {
    closeSync(handle);
    rmSync(draft, { force: true });
  }
  return key;
}
