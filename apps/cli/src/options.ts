import { durationSeconds, OWNER_TYPES } from '@keyledger/contracts';
import { InvalidArgumentError, Option, type Command } from 'commander';
import { UsageError } from './exit.js';

/** `a,b` and repetition both make a list. */
export function list(text: string, before: string[] = []): string[] {
  return [...before, ...text.split(',').map((part) => part.trim())].filter((part) => part !== '');
}

/** `name=value`, repeated. */
export function pairs(text: string, before: Record<string, string> = {}): Record<string, string> {
  const at = text.indexOf('=');
  if (at < 1) throw new InvalidArgumentError('Write it as name=value.');
  return { ...before, [text.slice(0, at)]: text.slice(at + 1) };
}

export function wholeNumber(least: number, most: number): (text: string) => number {
  return (text) => {
    const value = /^\d{1,15}$/.test(text) ? Number(text) : NaN;
    if (!(value >= least && value <= most)) {
      throw new InvalidArgumentError(`Write a whole number from ${least} to ${most}.`);
    }
    return value;
  };
}

/** A length of time as seconds: an ISO-8601 duration such as PT24H, or a number of seconds. */
export function seconds(text: string): number {
  const value = /^\d{1,10}$/.test(text) ? Number(text) : durationSeconds(text);
  if (value === undefined) throw new InvalidArgumentError('Write a duration such as PT24H or P7D, or seconds.');
  return value;
}

export function yesOrNo(text: string): boolean {
  if (text === 'yes' || text === 'true') return true;
  if (text === 'no' || text === 'false') return false;
  throw new InvalidArgumentError('Write yes or no.');
}

/** The options of a command that changes something. `withReason` is false where `--reason` is the change's own. */
export function changing(command: Command, { withReason = true, repeatable = true } = {}): Command {
  if (withReason) command.option('--reason <text>', 'why, for the audit trail');
  command.option('--on-behalf-of <who>', 'the person or service for whom this is done, for the audit trail');
  if (repeatable) {
    command.option(
      '--idempotency-key <key>',
      'names this one intent: repeated under the same key, nothing happens twice (default: a new one)',
    );
  }
  return command;
}

export function yieldingSecret(command: Command): Command {
  return command
    .option('--secret-file <file>', 'write the secret to this new file, readable by you only')
    .option('--show-secret', 'show the secret on standard output');
}

export function owning(command: Command, { mandatory = false } = {}): Command {
  const owner = new Option('--owner <id>', 'the application or account that the key identifies');
  return command
    .addOption(owner.makeOptionMandatory(mandatory))
    .addOption(new Option('--owner-type <type>', 'what the owner is (default: application)').choices(OWNER_TYPES))
    .option('--owner-name <name>', 'whom to ask about the key; kept encrypted, with --owner')
    .option('--owner-email <address>', 'where to ask about the key; kept encrypted, with --owner');
}

export const ROTATION_MODES = ['announce', 'automatic'];

export interface RotationOptions {
  rotateEvery?: string;
  rotateGrace?: string;
  rotateMode?: string;
  /** `false`: `--no-rotation`. */
  rotation?: boolean;
}

/**
 * A rule of rotation from its options; `null` for none.
 * @throws UsageError for a part of one without `--rotate-every`
 */
export function rotationOf(options: RotationOptions): object | null | undefined {
  const { rotateEvery: every, rotateGrace: grace, rotateMode: mode, rotation } = options;
  if (every !== undefined) return { every, grace: grace ?? 'PT0S', mode: mode ?? 'announce' };
  if (grace !== undefined || mode !== undefined) {
    throw new UsageError('--rotate-grace and --rotate-mode belong to --rotate-every: name it too');
  }
  return rotation === false ? null : undefined;
}

/** The options of a key's own rule, in place of that of its keyspace. */
export function rotating(command: Command): Command {
  return command
    .option('--rotate-every <duration>', "how old a secret may grow, in place of the keyspace's rule")
    .option('--rotate-grace <duration>', 'how long the old secret then works beside the new one (default: PT0S)')
    .addOption(
      new Option('--rotate-mode <mode>', 'tell the owner, or do it (default: announce)').choices(ROTATION_MODES),
    )
    .addOption(new Option('--no-rotation', 'it is not rotated by policy').conflicts('rotateEvery'));
}

/** Examples at the end of a command's help. */
export function examples(command: Command, ...lines: string[]): Command {
  const heading = lines.length === 1 ? 'Example' : 'Examples';
  return command.addHelpText('after', `\n${heading}:\n${lines.map((line) => `  $ keyledger ${line}`).join('\n')}`);
}
