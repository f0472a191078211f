import { durationSeconds, OWNER_TYPES } from '@keyledger/contracts';
import { InvalidArgumentError, Option, type Command } from 'commander';
import { UsageError } from './exit.js';

/** A length of time as seconds: an ISO-8601 duration such as PT24H, or a number of seconds. */
export function seconds(text: string): number {
  const value = /^\d{1,10}$/.test(text) ? Number(text) : durationSeconds(text);
  if (value === undefined) throw new InvalidArgumentError('Write a duration such as PT24H or P7D, or seconds.');
  return value;
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
