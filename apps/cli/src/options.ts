import { InvalidArgumentError, type Command } from 'commander';

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

/** The options of a list that comes in pages; `Session.noteMore` says where the next one begins. */
export function paged(command: Command): Command {
  return command
    .option('--limit <n>', 'at most this many', wholeNumber(1, 1000))
    .option('--cursor <cursor>', 'go on where the last page ended');
}

export function yieldingSecret(command: Command): Command {
  return command
    .option('--secret-file <file>', 'write the secret to this new file, readable by you only')
    .option('--show-secret', 'show the secret on standard output');
}

/** Examples at the end of a command's help, each without its `keyledger`, unless that stands behind a pipe. */
export function examples(command: Command, ...lines: string[]): Command {
  const heading = lines.length === 1 ? 'Example' : 'Examples';
  const shown = lines.map((line) => `  $ ${line.includes('| keyledger ') ? '' : 'keyledger '}${line}`);
  return command.addHelpText('after', `\n${heading}:\n${shown.join('\n')}`);
}
