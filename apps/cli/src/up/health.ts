import { get } from 'node:http';
import type { Health } from '@keyledger/platform';
import type { Address } from './conversation.js';

const TIMEOUT_MS = 5_000;
const LONGEST_ANSWER = 100_000;

/** A process answers that it cannot do its work yet, and why. */
export class NotReady extends Error {
  /** @param done of each part that gets there by itself: a number that grows while it does */
  constructor(
    message: string,
    readonly done: Readonly<Record<string, number>> = {},
  ) {
    super(message);
    this.name = 'NotReady';
  }
}

/** @throws NotReady, or what keeps it from answering, until `GET /health/ready` answers 200. */
export function checkHealth({ host, port }: Address): Promise<void> {
  return new Promise((resolve, reject) => {
    const request = get({ host, port, path: '/health/ready', timeout: TIMEOUT_MS, agent: false }, (response) => {
      let body = '';
      response.setEncoding('utf8').on('data', (text: string) => (body = (body + text).slice(0, LONGEST_ANSWER)));
      response.once('error', reject);
      response.once('end', () => {
        if (response.statusCode === 200) resolve();
        else reject(response.statusCode === 503 ? notReady(body) : strange(response.statusCode, body));
      });
    });
    request.once('timeout', () => request.destroy(new Error(`/health/ready does not answer in ${TIMEOUT_MS} ms`)));
    request.once('error', reject);
  });
}

function notReady(body: string): Error {
  try {
    const { checks } = JSON.parse(body) as Health;
    const failing = Object.entries(checks).filter(([, { status }]) => status !== 'ok');
    const why = failing.map(([name, { detail }]) => `${name}: ${detail}`).join('; ');
    const done = failing.flatMap(([name, check]) => (check.done === undefined ? [] : [[name, check.done]]));
    return new NotReady(why, Object.fromEntries(done) as Record<string, number>);
  } catch {
    return strange(503, body);
  }
}

function strange(status: number | undefined, body: string): Error {
  return new Error(`/health/ready answers ${status} ${body.slice(0, 1000)}`);
}
