import { describe, expect, it } from '@jest/globals';
import { Readable } from 'node:stream';
import { EXIT } from './exit.js';
import { runCommandLine } from './program.js';

const ID_COMMANDS: [string, string[]][] = [
  ['keyId', ['keys', 'show', 'ID']],
  ['keyId', ['keys', 'rotation', 'ID']],
  ['keyId', ['keys', 'update', 'ID', '--name', 'n']],
  ['keyId', ['keys', 'rotate', 'ID', '--show-secret']],
  ['keyId', ['keys', 'suspend', 'ID', '--reason', 'r']],
  ['keyId', ['keys', 'revoke', 'ID', '--reason', 'leaked']],
  ['keyIds', ['keys', 'revoke-many', 'k', 'ID', '--reason', 'leaked']],
  ['keyspace', ['keyspaces', 'show', 'ID']],
  ['keyspace', ['keyspaces', 'update', 'ID', '--name', 'n']],
  ['keyspace', ['keyspaces', 'archive', 'ID']],
  ['keyspace', ['keyspaces', 'scanner-rules', 'ID', '--format', 'gitleaks']],
  ['keyId', ['deliveries', 'list', 'ID']],
  ['deliveryId', ['deliveries', 'pickup', 'ID']],
  ['keyId', ['audit', 'key', 'ID']],
  ['name', ['audit', 'report', 'ID']],
  ['leakId', ['leaks', 'show', 'ID']],
  ['leakId', ['leaks', 'resolve', 'ID', '--as', 'handled']],
  ['subjectId', ['privacy', 'show', 'ID']],
  ['subjectId', ['privacy', 'erase', 'ID', '--reason', 'r']],
  ['channel', ['channels', 'show', 'ID']],
  ['channel', ['channels', 'update', 'ID', '--enable']],
  ['channel', ['channels', 'remove', 'ID']],
  ['channel', ['channels', 'test', 'ID']],
  ['channel', ['channels', 'rotate-secret', 'ID', '--show-secret']],
  ['notification', ['notifications', 'replay', 'ID']],
  ['review', ['reviews', 'show', 'ID']],
  ['review', ['reviews', 'attest', 'ID', 'k', 'keep']],
  ['key', ['reviews', 'attest', 'r', 'ID', 'keep']],
  ['review', ['reviews', 'close', 'ID']],
];
const NO_IDS = ['', ' ', '.', '..', 'a/b', 'k?x=1', '%2e%2e'];

/** Nobody listens at the URL: what is sent ends in another exit code. */
async function run(args: readonly string[]): Promise<{ code: number; err: string }> {
  let err = '';
  const code = await runCommandLine(args, {
    env: { KEYLEDGER_URL: 'http://127.0.0.1:1', KEYLEDGER_KEY: 'k' },
    stdin: Readable.from([]),
    stdout: { write: () => undefined, put: async () => undefined },
    stderr: { write: (text) => (err += text) },
  });
  return { code, err };
}

describe('an argument that is no id', () => {
  it.each(ID_COMMANDS)('is named, <%s>, and nothing is sent: keyledger %j', async (argument, args) => {
    const isOfKey = args[0] === 'keys' && argument === 'keyId';
    for (const id of [...NO_IDS, ...(isOfKey ? ['self'] : [])]) {
      const { code, err } = await run(args.map((arg) => (arg === 'ID' ? id : arg)));
      const fix = id === 'self' ? 'name the key itself' : 'write it as lists show it';
      const said = `keyledger: <${argument}> is "${id}", which is no id: ${fix}\n`;
      expect({ code, err }).toEqual({ code: EXIT.usage, err: said });
    }
  });

  it('is not what a keyspace is called that happens to be called self', async () => {
    expect((await run(['keyspaces', 'archive', 'self'])).code).toBe(EXIT.unreachable);
  });
});
