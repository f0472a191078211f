import { UsageError } from './exit.js';
import { interruptible } from './interruption.js';
import type { SecretFile } from './secret-file.js';
import type { ChangeOptions, Session } from './session.js';

/** Options of the commands whose answer holds a secret. */
export interface SecretOptions {
  secretFile?: string;
  showSecret?: boolean;
}

/** A POST whose answer holds a new secret. */
export interface SecretRequest<T> {
  path: string;
  body: unknown;
  /** Under which name it stands in the answer. */
  name: keyof T & string;
  /** What it is the secret of, e.g. `key <id>`. */
  of: (answer: T) => string;
  text: (answer: T) => string;
}

/**
 * Makes a secret and gives it away: to the file or to standard output as the options say, and nowhere without them. The
 * server has made it once it answers, and an interruption or a full disk must not lose it: then the person is told how
 * it can be had again.
 */
export async function giveNewSecret<T extends object>(
  session: Session,
  { path, body, name, of, text }: SecretRequest<T>,
  options: ChangeOptions & SecretOptions,
): Promise<void> {
  const { secretFile, showSecret } = options;
  if (secretFile === undefined && !showSecret) throw nowhere('The answer will hold a secret, this once');
  await session.requireCredential();
  const idempotencyKey = options.idempotencyKey ?? crypto.randomUUID();
  await interruptible(async (stop) => {
    const file = await reserved(secretFile);
    const mode = { ...options, idempotencyKey, stop };
    const answer = await session.change<T>('POST', path, body, mode).catch(async (error: unknown) => {
      await file?.discard();
      throw error;
    });
    const { [name]: secret, ...rest } = answer;
    const shown = showSecret ? answer : (rest as T);
    if (secret === undefined) {
      await file?.discard();
      session.note('The secret of this receipt was given out before and is not given again.');
      return session.show(shown, () => text(shown));
    }
    try {
      if (file) await save(session, file, String(secret));
      else await session.put(shown, () => text(shown));
    } catch (error) {
      session.note(
        `The secret of ${of(answer)}, which is made, could not be given to you. Within ten minutes the same command ` +
          `with --idempotency-key ${idempotencyKey} gives it again.`,
      );
      throw error;
    }
    if (file) session.show(shown, () => text(shown));
  });
}

/** Takes one secret. `put` says whether it may be shown too. */
export interface SecretPlace {
  discard(): Promise<void>;
  put(secret: string): Promise<boolean>;
}

/** Where a secret goes that a command will have: reserved before it is asked for. @throws UsageError */
export async function placeFor(session: Session, { secretFile, showSecret }: SecretOptions): Promise<SecretPlace> {
  if (secretFile === undefined && !showSecret) throw nowhere('There will be a secret');
  const file = await reserved(secretFile);
  return {
    discard: async () => file?.discard(),
    put: async (secret) => {
      if (file) await save(session, file, secret);
      return showSecret === true;
    },
  };
}

const nowhere = (what: string): UsageError =>
  new UsageError(`${what}: say where it goes, --secret-file FILE or --show-secret`);

async function save(session: Session, file: SecretFile, secret: string): Promise<void> {
  await file.write(secret);
  session.note(`The secret is in ${file.path}; it is not shown again.`);
}

async function reserved(path: string | undefined): Promise<SecretFile | undefined> {
  if (path === undefined) return undefined;
  const { SecretFile } = await import('./secret-file.js');
  return SecretFile.reserve(path);
}
