#!/usr/bin/env node
import { EXIT } from './exit.js';
import { runCommandLine } from './program.js';
import { cannotBeWritten, StandardOutput } from './standard-output.js';

/** What a shell shows of a program that a closed pipe has ended: 128 and the number of SIGPIPE. */
const PIPE_CLOSED = 141;

const { env, stderr } = process;
const stdout = new StandardOutput(process.stdout, (error) => {
  // Whoever read our output has left, as `head` does when it has enough: nobody hears what is left to say.
  if (error.code === 'EPIPE') process.exit(PIPE_CLOSED);
  stderr.write(`keyledger: ${cannotBeWritten(error)}\n`);
  process.exit(EXIT.refused);
});
stderr.on('error', () => undefined);

const terminal = {
  env,
  stdout,
  stderr,
  // Opened by those who read it.
  get stdin() {
    return process.stdin;
  },
};
process.exitCode = await runCommandLine(process.argv.slice(2), terminal);
