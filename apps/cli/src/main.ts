#!/usr/bin/env node
import { runCommandLine } from './program.js';

/** What a shell shows of a program that a closed pipe has ended: 128 and the number of SIGPIPE. */
const PIPE_CLOSED = 141;

// Whoever read our output has left, as `head` does when it has enough: nobody hears what is left to say.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
  process.exit(PIPE_CLOSED);
});
process.stderr.on('error', () => undefined);

process.exitCode = await runCommandLine(process.argv.slice(2), process);
