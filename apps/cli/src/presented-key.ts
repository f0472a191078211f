import { UsageError } from './exit.js';
import type { Terminal } from './print.js';

const LONGEST_KEY = 4096;

/** A key from standard input. @throws UsageError if there is none; `command` is what the person should have written */
export async function presentedKeyFrom({ stdin }: Terminal, command: string): Promise<string> {
  if (stdin.isTTY) throw new UsageError(`Give the key on standard input (${command} < FILE) or by --secret-file`);
  let text = '';
  for await (const chunk of stdin) {
    text += chunk.toString();
    if (text.length > LONGEST_KEY) throw new UsageError(`Standard input is longer than any key (${LONGEST_KEY})`);
  }
  if (text.trim() === '') throw new UsageError('Standard input is empty: it must hold the key');
  return text.trim();
}
