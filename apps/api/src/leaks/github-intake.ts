import { refusal } from '@keyledger/contracts';
import { foundText, type Incident, type Incidents, type LeakReport } from '@keyledger/leaks';
import { contextOf, RefusalError, unavailable, type KeyDigests } from '@keyledger/platform';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { createHash } from 'node:crypto';
import { githubItems, type GithubItem } from './github-report.js';
import { KeysUnavailable, type GithubKeys } from './github-keys.js';
import type { LeakLog } from './leak-log.js';
import { withoutToken } from './token-free.js';

export const GITHUB_ROUTE = '/v1/integrations/github/secret-scanning';
/** Of a whole report; what is larger is refused before it is read. */
const GITHUB_BODY_LIMIT_BYTES = 1_048_576;
export const GITHUB_HEADERS = {
  identifier: 'github-public-key-identifier',
  signature: 'github-public-key-signature',
} as const;
const AT_ONCE = 16;

/** What GitHub hears of a token: whether it is a key of ours, be it in force or over. */
export interface GithubFeedback {
  /** SHA-256 of the token in lower-case hex, so that no answer carries a key. */
  token_hash: string;
  token_type: string;
  label: 'true_positive' | 'false_positive';
}

export interface GithubParts {
  incidents: Incidents;
  digests: KeyDigests;
  keys: GithubKeys;
  log: LeakLog;
}

/**
 * GitHub's secret scanning partner program. On Fastify itself, because the signature is over the very bytes of the body.
 * A signature has no time in it, so anybody may send a report again; it is about the same incidents then.
 */
export function registerGithubIntake(fastify: FastifyInstance, parts: GithubParts): void {
  void fastify.register(async (raw) => {
    raw.removeAllContentTypeParsers();
    raw.addContentTypeParser(
      'application/json',
      { parseAs: 'buffer', bodyLimit: GITHUB_BODY_LIMIT_BYTES },
      (_, body, done) => done(null, body),
    );
    raw.post(GITHUB_ROUTE, { bodyLimit: GITHUB_BODY_LIMIT_BYTES }, async (request, reply) => {
      void reply.headers({ 'x-request-id': request.id, 'cache-control': 'no-store' });
      const body = Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0);
      await assertSigned(parts.keys, request, body);
      return feedbackOn(parts, githubItems(body), request);
    });
  });
}

/** @throws RefusalError 401 without a signature, 403 for one that is not GitHub's, 503 if nobody can tell */
async function assertSigned(keys: GithubKeys, request: FastifyRequest, body: Buffer): Promise<void> {
  const identifier = request.headers[GITHUB_HEADERS.identifier];
  const signature = request.headers[GITHUB_HEADERS.signature];
  if (typeof identifier !== 'string' || typeof signature !== 'string') {
    const detail = 'The report is not signed: Github-Public-Key-Identifier and Github-Public-Key-Signature are needed.';
    throw new RefusalError(refusal('NO_CREDENTIAL', detail), {
      'www-authenticate': 'Github-Public-Key realm="keyledger"',
    });
  }
  const result = await keys.check(identifier, signature, body).catch((error: unknown) => {
    if (!(error instanceof KeysUnavailable)) throw error;
    throw unavailable('The public keys of GitHub cannot be fetched; nothing was recorded.', 5);
  });
  if (result === 'unknown') {
    throw new RefusalError(refusal('NOT_ALLOWED', 'GitHub has no public key of that Github-Public-Key-Identifier.'));
  }
  if (result === 'bad') {
    throw new RefusalError(refusal('NOT_ALLOWED', 'The signature is not that of this body under that key.'));
  }
}

/** Every item is recorded and acted on before the answer. @throws RefusalError 503 where Redis cannot tell, all the same recorded */
async function feedbackOn(parts: GithubParts, items: GithubItem[], request: FastifyRequest): Promise<GithubFeedback[]> {
  const feedback = new Array<GithubFeedback>(items.length);
  let unsure = false;
  let next = 0;
  const lane = async (): Promise<void> => {
    for (let index = next++; index < items.length; index = next++) {
      const item = items[index] as GithubItem;
      const { state, failure } = await handled(parts, item, request);
      unsure ||= failure !== undefined && !state.match;
      feedback[index] = {
        token_hash: createHash('sha256').update(item.token).digest('hex'),
        token_type: item.type,
        label: state.match ? 'true_positive' : 'false_positive',
      };
    }
  };
  await Promise.all(Array.from({ length: Math.min(AT_ONCE, items.length) }, lane));
  if (unsure)
    throw unavailable(
      'The report is recorded and will be acted on; whether its tokens are keys cannot be told now.',
      30,
    );
  return feedback;
}

async function handled(parts: GithubParts, item: GithubItem, request: FastifyRequest): Promise<Incident> {
  const { token, type, url, place } = item;
  const report: LeakReport = {
    source: 'github',
    token: foundText(token, parts.digests),
    tokenType: withoutToken(type, token),
    ...(url !== undefined && { url: withoutToken(url, token) }),
    ...(place !== undefined && { location: withoutToken(place, token.toLowerCase()) }),
  };
  const context = contextOf(
    request,
    { keyId: '' },
    { actor: { type: 'system', id: 'github' }, reason: 'reported by GitHub' },
  );
  const incident = await parts.incidents.handle(report, context);
  parts.log.note('github', incident.state, incident.failure);
  return incident;
}
