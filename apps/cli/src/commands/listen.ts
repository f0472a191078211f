import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Webhook } from 'standardwebhooks';
import { EXIT, UsageError, type ExitCode } from '../exit.js';
import { json, messageOf, printable } from '../print.js';
import { readSecretFile } from '../secret-file.js';
import type { Session } from '../session.js';

const MAX_BODY_BYTES = 1_000_000;

interface ListenOptions {
  port: number;
  secretFile: string;
  count?: number;
}

/**
 * A receiver of webhooks on loopback that prints what it gets. A message whose signature, or whose time, is not good
 * is answered 401 and said on standard error.
 */
export async function listen(
  session: Session,
  { port, secretFile, count = Infinity }: ListenOptions,
): Promise<ExitCode> {
  let left = count;
  let finish: () => void = () => undefined;
  const done = new Promise<void>((resolve) => (finish = resolve));
  const server = createServer((request, response) => {
    receive(request, response, secretFile).then(
      (payload) => {
        session.terminal.stdout.write(session.options.json ? json(payload) : linesOf(payload));
        left -= 1;
        if (left <= 0) finish();
      },
      (error: unknown) => {
        if (!response.headersSent) response.writeHead(401).end();
        session.note(`refused: ${printable(messageOf(error))}`);
      },
    );
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) => reject(new UsageError(`port ${port} cannot be used: ${error.message}`)));
    server.listen(port, '127.0.0.1', resolve);
  });
  session.note(`listening on http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, finish);
  await done;
  await new Promise<void>((resolve) => server.close(() => resolve()).closeIdleConnections());
  return EXIT.ok;
}

async function receive(request: IncomingMessage, response: ServerResponse, secretFile: string): Promise<Payload> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > MAX_BODY_BYTES) throw new Error('a message of more than a megabyte');
    chunks.push(chunk);
  }
  const webhook = new Webhook(await readSecretFile(secretFile));
  const headers = Object.fromEntries(Object.entries(request.headers).map(([name, value]) => [name, String(value)]));
  const payload = webhook.verify(Buffer.concat(chunks).toString('utf8'), headers) as Payload;
  response.writeHead(204).end();
  return payload;
}

interface Message {
  type: string;
  timestamp: string;
  data: { count?: number; events?: { keys: { name: string; mask?: string }[]; details: object }[] };
}

/** Of the trail: a batch of CloudEvents. */
interface TrailEvent {
  time: string;
  type: string;
  subject: string;
}

type Payload = Message | TrailEvent[];

function linesOf(payload: Payload): string {
  if (!Array.isArray(payload)) return lineOf(payload);
  return payload.map(({ time, type, subject }) => `${printable(`${time}  ${type}  ${subject}`)}\n`).join('');
}

function lineOf({ type, timestamp, data }: Message): string {
  const [first] = data.events ?? [];
  const key = first?.keys[0];
  const parts = [
    timestamp,
    type,
    key && `${key.name} ${key.mask ?? ''}`.trim(),
    first && JSON.stringify(first.details),
  ];
  const more = (data.count ?? 1) > 1 ? [`and ${(data.count ?? 1) - 1} more`] : [];
  return `${printable([...parts, ...more].filter(Boolean).join('  '))}\n`;
}
