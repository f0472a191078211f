import { createBullBoard } from '@bull-board/api';
import { BullMQAdapter } from '@bull-board/api/bullMQAdapter';
import { FastifyAdapter } from '@bull-board/fastify';
import { QUEUES, refusal, REFUSALS } from '@keyledger/contracts';
import {
  authenticate,
  type CredentialCheck,
  type FailedCredentials,
  PROBLEM_TYPE,
  problemOf,
  redactDeep,
  RefusalError,
  refusalOf,
} from '@keyledger/platform';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Queues } from './queues.js';

const BASE_PATH = '/admin/queues';
/** A browser asks its user for the key; the name beside it does not matter. */
const CHALLENGE = 'Basic realm="Keyledger queues: the management key as password", charset="UTF-8"';
const READING = new Set(['GET', 'HEAD']);

interface Gate {
  credentials: CredentialCheck;
  failed: FailedCredentials;
}

/**
 * Bull Board at `/admin/queues`: every queue and its jobs. Looking needs `system:read`, anything else `system:operate`;
 * the key comes as everywhere, or as the password of HTTP Basic, so that a browser can open it.
 */
export async function serveBoard(server: FastifyInstance, queues: Queues, gate: Gate): Promise<void> {
  const adapter = new FastifyAdapter();
  const shown = QUEUES.map((name) => {
    const queue = new BullMQAdapter(queues.queue(name));
    for (const field of ['data', 'returnValue', 'progress'] as const)
      queue.setFormatter(field, (value) => redactDeep(value));
    return queue;
  });
  const options = { uiConfig: { boardTitle: 'Keyledger queues', hideRedisDetails: true } };
  // The two packages bring the same types in two copies, which TypeScript holds to be different.
  const serverAdapter = adapter as unknown as Parameters<typeof createBullBoard>[0]['serverAdapter'];
  createBullBoard({ queues: shown, serverAdapter, options });
  adapter.setBasePath(BASE_PATH);
  await server.register(
    async (scope) => {
      scope.addHook('onRequest', async (request, reply) => {
        reply.headers({ 'x-frame-options': 'DENY', 'referrer-policy': 'no-referrer' });
        try {
          await admit(request, gate);
        } catch (error) {
          // Here, because the board answers every error of its routes in its own way.
          const { refusal: no, headers } = refusalOf(error);
          const problem = JSON.stringify(problemOf(no, request.id));
          return reply.code(REFUSALS[no.code].status).headers(headers).type(PROBLEM_TYPE).send(problem);
        }
      });
      await scope.register(adapter.registerPlugin() as never);
    },
    { prefix: BASE_PATH },
  );
}

async function admit(request: FastifyRequest, { credentials, failed }: Gate): Promise<void> {
  request.headers.authorization = bearerFor(request.headers.authorization);
  const reading = READING.has(request.method);
  try {
    await authenticate(credentials, failed, request, reading ? 'system:read' : 'system:operate');
  } catch (error) {
    if (!(error instanceof RefusalError) || !['NO_CREDENTIAL', 'INVALID_TOKEN'].includes(error.refusal.code))
      throw error;
    throw new RefusalError(error.refusal, { ...error.headers, 'www-authenticate': CHALLENGE });
  }
  if (!reading) assertSameSite(request);
}

/** A browser sends the key of HTTP Basic by itself, for pages of others too: those may not press the buttons. */
function assertSameSite({ headers }: FastifyRequest): void {
  const site = headers['sec-fetch-site'];
  const origin = headers.origin;
  const foreign = origin !== undefined && (!URL.canParse(origin) || new URL(origin).host !== headers.host);
  if (foreign || (site !== undefined && site !== 'same-origin' && site !== 'none')) {
    throw new RefusalError(refusal('NOT_ALLOWED', 'Another site may not act on the queues.'));
  }
}

/** `Basic` with the key as the password counts as `Bearer` with it. */
function bearerFor(authorization: string | undefined): string | undefined {
  const [, encoded] = /^basic +(\S+)$/i.exec(authorization ?? '') ?? [];
  if (encoded === undefined) return authorization;
  const text = Buffer.from(encoded, 'base64').toString('utf8');
  return `Bearer ${text.slice(text.indexOf(':') + 1)}`;
}
