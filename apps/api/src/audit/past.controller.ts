import { Body, Controller, Get, HttpCode, Param, Post, Query, Res } from '@nestjs/common';
import { csvHeader, csvRow, explain, keyAt, type CsvColumn } from '@keyledger/audit';
import {
  AuditDiffQuery,
  AuditStateQuery,
  Explanation,
  ExplainRequest,
  KeyAsOf,
  KeyDifferences,
  KeysAsOf,
  MomentQuery,
  type AuditEventView,
  type KeyView,
  type VerdictView,
} from '@keyledger/contracts/http';
import { isAddressBlock, judge, stateAt, type KeyState, type Verdict } from '@keyledger/domain';
import { callerOf, invalidField, KeyDigests, reaches } from '@keyledger/platform';
import { ReadModel } from '@keyledger/read-model';
import { findKey } from '@keyledger/verification';
import type { FastifyReply } from 'fastify';
import { noSuchKeyspace } from '../access.js';
import { AnswersIn, DOWNLOADED } from '../http/forms.js';
import { Needs } from '../http/needs.js';
import { plain } from '../http/plain.js';
import { AccessLog } from './access-log.js';
import { Differences } from './differences.js';
import {
  assertOrder,
  assertPast,
  CurrentInquiry,
  cursorOf,
  openCursor,
  questionOf,
  sealOf,
  type Inquiry,
} from './inquiry.js';
import { Past, viewOf } from './past.js';
import { leavingOf, MEDIA_TYPES, sendStream } from './streaming.js';

const DEFAULT_LIMIT = 100;

@Controller('v1/audit')
export class AuditPastController {
  constructor(
    private readonly past: Past,
    private readonly differences: Differences,
    private readonly access: AccessLog,
    private readonly readModel: ReadModel,
    private readonly digests: KeyDigests,
  ) {}

  /** Show one key as it was, its verdict at that time, and its events up to then. */
  @Get('keys/:keyId')
  @Needs('audit:read', { refusals: [404] })
  async key(
    @Param('keyId') keyId: string,
    @Query() query: MomentQuery,
    @CurrentInquiry() inquiry: Inquiry,
  ): Promise<KeyAsOf> {
    if (query.cursor !== undefined) throw invalidField('cursor', 'does not go with one key', 'leave it out');
    const { cut, at } = await this.past.momentOf(query);
    const events = await this.past.eventsOf(inquiry.caller, keyId);
    const key = keyAt(events, cut);
    const seen = events.filter(({ revision }) => key && revision <= key.revision);
    const shown = seen.slice(-(query.limit ?? DEFAULT_LIMIT)).reverse();
    const rows = (await this.past.rowsOf(shown)) as unknown as AuditEventView[];
    await this.access.read(questionOf(inquiry, { keyId, ...plain(query) }, 'json'), inquiry.context, shown.length);
    return {
      keyId,
      at,
      ...(query.knownAt !== undefined && { knownAt: query.knownAt }),
      key: key ? await this.past.shown(viewOf(key, at)) : null,
      verdict: verdictView(judge(key?.state, key ? newestHash(key.state) : [], {}, at)),
      ...(key && { position: String(key.position) }),
      eventCount: seen.length,
      events: rows,
    };
  }

  /** Show every key as it was: who could do this at that time. */
  @Get('state')
  @Needs('audit:read', { refusals: [404] })
  @AnswersIn(KeysAsOf, { text: ['application/x-ndjson', 'text/csv'], headers: DOWNLOADED })
  async state(
    @Query() given: AuditStateQuery,
    @CurrentInquiry() inquiry: Inquiry,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    const query = plain(given);
    const format = query.format ?? acceptedList(inquiry.accept);
    const { caller, context } = inquiry;
    if (query.keyspaceId !== undefined && !reaches(caller.reach, query.keyspaceId)) {
      throw noSuchKeyspace(query.keyspaceId);
    }
    if (format === 'json') {
      const seal = sealOf(query);
      const [after, pinned] = openCursor(query.cursor, seal, 2) ?? [];
      // A question about now goes on, page after page, about the same now.
      const moment = await this.past.momentOf(pinned ? { ...query, at: pinned } : query);
      const items: KeyView[] = [];
      const limit = query.limit ?? DEFAULT_LIMIT;
      const options = { signal: leavingOf(reply), ...(after !== undefined && { after }) };
      for await (const views of this.past.keys(caller, query, moment, options)) {
        items.push(...views.slice(0, limit + 1 - items.length));
        if (items.length > limit) break;
      }
      const more = items.length > limit;
      if (more) items.pop();
      await this.access.read(questionOf(inquiry, { ...query, at: moment.at }, 'json'), context, items.length);
      const last = items.at(-1)?.keyId;
      await reply.send({
        at: moment.at,
        items,
        ...(more && last !== undefined && { nextCursor: cursorOf(seal, last, moment.at) }),
      });
      return;
    }
    const { reach } = callerOf(caller.principal, 'audit:export');
    const exporter = { ...caller, reach };
    const moment = await this.past.momentOf(query);
    await this.access.exported(questionOf(inquiry, { ...query, at: moment.at }, format), context);
    if (format === 'csv') void reply.header('content-disposition', 'attachment; filename="keys.csv"');
    await sendStream(reply, MEDIA_TYPES[format], inquiry.isStillGood, (signal) =>
      keysText(this.past.keys(exporter, query, moment, { signal }), format, query.limit),
    );
  }

  /** Show what was otherwise at one instant than at another before it, key by key, with the events between. */
  @Get('diff')
  @Needs('audit:read', { refusals: [404] })
  @AnswersIn(KeyDifferences, { text: ['application/x-ndjson'] })
  async diff(
    @Query() given: AuditDiffQuery,
    @CurrentInquiry() inquiry: Inquiry,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    const query = plain(given);
    const { from, to, keyspaceId, limit = DEFAULT_LIMIT } = query;
    const { caller, context } = inquiry;
    assertOrder(['from', from], ['to', to]);
    assertPast('to', to);
    if (keyspaceId !== undefined && !reaches(caller.reach, keyspaceId)) throw noSuchKeyspace(keyspaceId);
    const within = keyspaceId === undefined ? {} : { keyspaceId };
    if ((query.format ?? acceptedList(inquiry.accept)) === 'json') {
      const seal = sealOf(query);
      const [after] = openCursor(query.cursor, seal, 1) ?? [];
      const span = { from, to, ...within, signal: leavingOf(reply) };
      const page = await this.differences.page(span, caller.reach, limit, after);
      await this.access.read(questionOf(inquiry, query, 'json'), context, page.items.length);
      const { items, last } = page;
      await reply.send({ from, to, items, ...(last !== undefined && { nextCursor: cursorOf(seal, last) }) });
      return;
    }
    const { reach } = callerOf(caller.principal, 'audit:export');
    await this.access.exported(questionOf(inquiry, query, 'ndjson'), context);
    await sendStream(reply, MEDIA_TYPES.ndjson, inquiry.isStillGood, (signal) =>
      this.differences.lines({ from, to, ...within, signal }, reach),
    );
  }

  /**
   * Explain a verdict of the past: what the judge says of the key as it stood, and the event that decided it. Ask with
   * the revision of a live answer and you explain that very answer.
   */
  @Post('explain')
  @HttpCode(200)
  @Needs('audit:read', { refusals: [404] })
  async explain(@Body() body: ExplainRequest, @CurrentInquiry() inquiry: Inquiry): Promise<Explanation> {
    const { keyId: named, key: presented, secretId, revision, request = {}, ...moments } = plain(body);
    if ((named === undefined) === (presented === undefined)) {
      throw invalidField('keyId', 'or key must be given, and not both', 'the id of the key, or its text');
    }
    if (presented !== undefined && secretId !== undefined) {
      throw invalidField('secretId', 'goes with keyId only', 'leave it out');
    }
    const { clientIp } = request;
    if (clientIp !== undefined && (!isAddressBlock(clientIp) || clientIp.includes('/'))) {
      throw invalidField('request.clientIp', 'is not an address', 'an IPv4 or IPv6 address');
    }
    const { cut, at } = await this.past.momentOf(moments);
    const found = presented === undefined ? undefined : await findKey(this.readModel, this.digests, presented);
    const keyId = named ?? found?.key.state.keyId;
    const visible = !found || reaches(inquiry.caller.reach, found.key.state.keyspaceId);
    const isSeen = keyId !== undefined && visible;
    const events = isSeen ? await this.past.eventsOf(inquiry.caller, keyId) : [];
    const last = events.at(-1)?.revision ?? -1;
    if (isSeen && revision !== undefined && revision > last) {
      throw invalidField('revision', `is not reached yet: the key is at ${last}`, 'that of a live answer');
    }
    // On record before the answer, but not for a question that is refused.
    const question = questionOf(
      inquiry,
      { keyId: isSeen ? keyId : undefined, secretId, revision, at, ...moments },
      'json',
    );
    await this.access.read(question, inquiry.context, 1);
    if (!isSeen) return { at, ...verdictView({ code: 'NOT_FOUND' }) };
    const exact = revision === undefined ? cut : { revision };
    const hashesOf = found ? () => found.hashes : (state: KeyState) => hashesBy(state, secretId);
    const { verdict, key, decidedBy } = explain(events, exact, hashesOf, request, at);
    const rows = decidedBy ? ((await this.past.rowsOf([decidedBy])) as unknown as AuditEventView[]) : [];
    return {
      at,
      keyId,
      ...verdictView(verdict),
      ...(key && { revision: key.revision, position: String(key.position), state: stateAt(key.state, at) }),
      ...(rows[0] && { decidedBy: rows[0] }),
    };
  }
}

const newestHash = ({ secrets, retired }: KeyState): string[] =>
  [secrets[0]?.hash ?? retired[0]?.hash].filter((hash) => hash !== undefined);

function hashesBy(state: KeyState, secretId: string | undefined): string[] {
  if (secretId === undefined) return newestHash(state);
  const of = [...state.secrets, ...state.retired].find((secret) => secret.secretId === secretId);
  return of ? [of.hash] : [];
}

const verdictView = ({ code, secret }: Verdict): VerdictView => ({
  valid: code === 'VALID',
  code,
  ...(secret && { secretId: secret.secretId }),
});

function acceptedList(accept: string): 'json' | 'ndjson' | 'csv' {
  if (/\btext\/csv\b/.test(accept)) return 'csv';
  return /\bapplication\/(x-)?ndjson\b/.test(accept) ? 'ndjson' : 'json';
}

const KEY_COLUMNS: readonly CsvColumn<KeyView>[] = [
  ['keyId', ({ keyId }) => keyId],
  ['keyspaceId', ({ keyspaceId }) => keyspaceId],
  ['environment', ({ environment }) => environment],
  ['name', ({ name }) => name],
  ['ownerId', ({ owner }) => owner.id],
  ['ownerType', ({ owner }) => owner.type],
  ['state', ({ state }) => state],
  ['scopes', ({ scopes }) => scopes.join(' ')],
  ['kind', ({ kind }) => kind],
  ['createdAt', ({ createdAt }) => createdAt],
  ['notBefore', ({ notBefore }) => notBefore],
  ['expiresAt', ({ expiresAt }) => expiresAt],
  ['restrictions', ({ restrictions }) => restrictions],
  ['secrets', ({ secrets }) => secrets.map(({ secretId }) => secretId).join(' ')],
  ['revision', ({ revision }) => revision],
];

async function* keysText(
  keys: AsyncIterable<KeyView[]>,
  format: 'ndjson' | 'csv',
  limit = Infinity,
): AsyncGenerator<string> {
  if (format === 'csv') yield csvHeader(KEY_COLUMNS);
  let left = limit;
  for await (const views of keys) {
    const taken = views.slice(0, left);
    left -= taken.length;
    const lines = taken.map((view) => (format === 'csv' ? csvRow(KEY_COLUMNS, view) : `${JSON.stringify(view)}\n`));
    if (lines.length > 0) yield lines.join('');
    if (left === 0) return;
  }
}
