import { Command, CommanderError } from 'commander';
import { constants } from 'node:os';
import { EXIT, Interrupted, Refused, Unreachable, UsageError } from './exit.js';
import { wholeNumber } from './options.js';
import { json, messageOf, printable, problemText, type Terminal } from './print.js';
import type { RunWith } from './run.js';
import { DEFAULT_URL, Session, type GlobalOptions } from './session.js';
import { VERSION } from './version.js';

/** The commands in the order of the help. A command line that begins with one loads no other. */
const COMMANDS: Record<string, (runWith: RunWith) => Promise<Command>> = {
  keyspaces: async (runWith) => (await import('./commands/keyspaces.js')).keyspacesCommand(runWith),
  keys: async (runWith) => (await import('./commands/keys.js')).keysCommand(runWith),
  deliveries: async (runWith) => (await import('./commands/deliveries.js')).deliveriesCommand(runWith),
  receivers: async (runWith) => (await import('./commands/receivers.js')).receiversCommand(runWith),
  verify: async (runWith) => (await import('./commands/verify.js')).verifyCommand(runWith),
  audit: async (runWith) => (await import('./commands/audit.js')).auditCommand(runWith),
  leaks: async (runWith) => (await import('./commands/leaks.js')).leaksCommand(runWith),
  privacy: async (runWith) => (await import('./commands/privacy.js')).privacyCommand(runWith),
  scan: async (runWith) => (await import('./commands/scan.js')).scanCommand(runWith),
  channels: async (runWith) => (await import('./commands/channels.js')).channelsCommand(runWith),
  notifications: async (runWith) => (await import('./commands/notifications.js')).notificationsCommand(runWith),
  reviews: async (runWith) => (await import('./commands/reviews.js')).reviewsCommand(runWith),
  system: async (runWith) => (await import('./commands/system.js')).systemCommand(runWith),
  up: async (runWith) => (await import('./up/index.js')).upCommand(runWith),
};

/**
 * Runs one command line and gives the exit code. Answers go to standard output, everything else to standard error.
 * Throws nothing: whatever goes wrong becomes a message and a code.
 */
export async function runCommandLine(args: readonly string[], terminal: Terminal): Promise<number> {
  let code: number = EXIT.ok;
  let running: Command | undefined;
  const runWith: RunWith =
    (run) =>
    async (...given) => {
      const command = given.at(-1) as Command;
      running = command;
      const session = new Session(terminal, command);
      code = (await run(session, command.args as never, command.opts<never>())) ?? EXIT.ok;
    };
  const program = programOf(terminal);
  try {
    for (const command of await commandsFor(args, runWith)) program.addCommand(inheriting(command, program));
    await program.parseAsync([...args], { from: 'user' });
    return code;
  } catch (error) {
    return report(error, program.opts<GlobalOptions>(), terminal, isRepeatable(running));
  }
}

function programOf(terminal: Terminal): Command {
  return new Command('keyledger')
    .description('Governs API keys: issues, verifies, rotates and revokes them, and runs the whole system.')
    .version(VERSION, '--version', 'show the version')
    .option('--url <url>', `where the api answers (default: KEYLEDGER_URL, else ${DEFAULT_URL})`)
    .option('--key-file <file>', 'read the management key from this file (default: the variable KEYLEDGER_KEY)')
    .option('--json', 'answer with the JSON of the API')
    .option('--timeout <seconds>', 'wait at most so long for each try', wholeNumber(1, 3600), 10)
    .configureHelp({ showGlobalOptions: true })
    .configureOutput({
      writeOut: (text) => void terminal.stdout.write(text),
      writeErr: (text) => void terminal.stderr.write(text),
      getOutHelpWidth: () => terminal.stdout.columns ?? 100,
      getErrHelpWidth: () => terminal.stderr.columns ?? 100,
    })
    .showHelpAfterError('(add --help for help)')
    .exitOverride()
    .addHelpText('after', EPILOGUE);
}

async function commandsFor([first = '']: readonly string[], runWith: RunWith): Promise<Command[]> {
  const only = Object.hasOwn(COMMANDS, first) ? COMMANDS[first] : undefined;
  return Promise.all((only ? [only] : Object.values(COMMANDS)).map((load) => load(runWith)));
}

/** Commands made apart from the program know nothing of its settings until they are copied. */
function inheriting(command: Command, parent: Command): Command {
  command.copyInheritedSettings(parent);
  for (const child of command.commands) inheriting(child, command);
  return command;
}

const isRepeatable = (command: Command | undefined): boolean =>
  command?.options.some(({ long }) => long === '--idempotency-key') === true;

/** @param repeatable whether the command can be told the Idempotency-Key of an earlier run */
function report(error: unknown, options: GlobalOptions, terminal: Terminal, repeatable: boolean): number {
  const say = (text: string): void => void terminal.stderr.write(text);
  if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
  if (error instanceof UsageError) {
    say(`keyledger: ${printable(error.message)}\n`);
    return EXIT.usage;
  }
  if (error instanceof Refused || error instanceof Unreachable) {
    const { problem } = error;
    if (options.json && problem) say(json(problem));
    else say(`keyledger: ${problem ? problemText(problem) : `${printable(error.message)}\n`}`);
  }
  if (error instanceof Refused) return EXIT.refused;
  if (error instanceof Unreachable) {
    say(whatBecameOf(error, repeatable));
    return error instanceof Interrupted ? 128 + constants.signals[error.signal] : EXIT.unreachable;
  }
  say(`keyledger: ${printable(messageOf(error))}\n`);
  return EXIT.refused;
}

/** Of a change without an answer, or with one that says no more than that it may be repeated. */
function whatBecameOf({ mayBeDone, problem, idempotencyKey }: Unreachable, repeatable: boolean): string {
  const isSent = mayBeDone || problem?.code !== undefined;
  const sentences = [
    ...(mayBeDone ? ['It may have been done all the same.'] : []),
    ...(isSent && repeatable && idempotencyKey !== undefined
      ? [`The same command with --idempotency-key ${idempotencyKey} does not do it twice.`]
      : []),
  ];
  return sentences.length === 0 ? '' : `${sentences.join(' ')}\n`;
}

const EPILOGUE = `
Environment:
  KEYLEDGER_URL   where the api answers
  KEYLEDGER_KEY   the management key; there is no option for it, since options show in the list of processes

Exit codes:
  ${EXIT.ok}  done
  ${EXIT.refused}  the server refused or failed; standard error says why and what would be right
  ${EXIT.usage}  the command line is wrong; nothing was sent
  ${EXIT.unreachable}  the server cannot be reached, or cannot answer now (503)
  ${EXIT.notValid}  verify: the key is not valid for what was asked
  ${EXIT.found}  scan: keys were found
  ${EXIT.mismatch}  audit verify, audit fsck: something does not fit; the first event that does not is named
  ${EXIT.misconfigured} up: the configuration is wrong; every variable that is wrong is named

Examples:
  $ keyledger up
  $ keyledger keyspaces create acme --name "Acme payments"
  $ keyledger keys issue --keyspace acme --environment live --name billing --owner app-7 --scopes payments:read \\
      --secret-file billing.key
  $ keyledger verify --secret-file billing.key --scopes payments:read
  $ keyledger keys list --keyspace acme --state active --json`;
