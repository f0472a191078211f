import { Command } from 'ioredis';

/**
 * Commands as Redis reads them (RESP, an array of bulk strings), written here and not by the client: what the client
 * makes of a command with a hundred arguments costs this process more than all else that is done for their keys.
 */

const LINE = '\r\n';

/** The bytes of one command. */
export function bytesOf(args: readonly (string | number)[]): Buffer {
  let text = `*${args.length}${LINE}`;
  for (const arg of args) {
    const part = String(arg);
    text += `$${part.length}${LINE}${part}${LINE}`;
  }
  // Nearly all that we write is ASCII. One letter beyond, and lengths in bytes are not those in characters.
  if (Buffer.byteLength(text) === text.length) return Buffer.from(text, 'latin1');
  const parts = args.map((arg) => `$${Buffer.byteLength(String(arg))}${LINE}${arg}${LINE}`);
  return Buffer.from(`*${args.length}${LINE}${parts.join('')}`);
}

/** The arguments of which such bytes were made. */
export function argsIn(bytes: Buffer): string[] {
  let at = 0;
  const count = (): number => {
    const end = bytes.indexOf(LINE, at);
    const number = Number(bytes.toString('latin1', at + 1, end));
    at = end + LINE.length;
    return number;
  };
  return Array.from({ length: count() }, () => {
    const length = count();
    const arg = bytes.toString('utf8', at, at + length);
    at += length + LINE.length;
    return arg;
  });
}

/** A command whose bytes are there already. On a Cluster the client finds the node by the one key that it is told. */
export class WrittenCommand extends Command {
  constructor(
    name: string,
    key: string,
    private readonly bytes: Buffer,
  ) {
    super(name, name.startsWith('eval') ? ['', 1, key] : [key], { replyEncoding: 'utf8' });
  }

  override toWritable(): Buffer {
    return this.bytes;
  }
}
