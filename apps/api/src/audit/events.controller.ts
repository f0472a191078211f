import { Controller, Get, Query, Res } from '@nestjs/common';
import { ApiOkResponse, ApiProduces } from '@nestjs/swagger';
import { TrailReader, type TrailQuery } from '@keyledger/audit';
import {
  AuditEventList,
  AuditEventsQuery,
  AuditTailQuery,
  CloudEventView,
  type AuditFormat,
  type TrailFilterQuery,
} from '@keyledger/contracts/http';
import { EventStore } from '@keyledger/event-store';
import { callerOf, invalidField, unavailable } from '@keyledger/platform';
import type { FastifyReply } from 'fastify';
import { setTimeout as pause } from 'node:timers/promises';
import { AnswersIn, DOWNLOADED, header } from '../http/forms.js';
import { Needs } from '../http/needs.js';
import { plain } from '../http/plain.js';
import { AccessLog } from './access-log.js';
import { CurrentInquiry, cursorOf, openCursor, questionOf, sealOf, type Inquiry } from './inquiry.js';
import { TrailNews } from './news.js';
import { MEDIA_TYPES, sendStream } from './streaming.js';
import { filterOf, pageOf, positionIn, rowOf, serverSentEvent, siemEventOf, textOf } from './trail.js';

const DEFAULT_LIMIT = 100;
const HEARTBEAT_MS = 15_000;
const MOST_FOLLOWERS = 200;
const BATCH_TYPE = 'application/cloudevents-batch+json';

@Controller('v1/audit')
export class AuditEventsController {
  constructor(
    private readonly trail: TrailReader,
    private readonly access: AccessLog,
    private readonly news: TrailNews,
    private readonly store: EventStore,
  ) {}

  /**
   * Show what happened: who, for whom, from where, why, and what is otherwise since. Pages as JSON; NDJSON, CSV and OCSF
   * as streams of any length, or OCSF as a batch of CloudEvents. That it was asked is recorded first.
   */
  @Get('events')
  @Needs('audit:read', { refusals: [404] })
  @AnswersIn(AuditEventList, {
    text: ['application/x-ndjson', 'text/csv', 'text/event-stream'],
    list: { type: BATCH_TYPE, of: CloudEventView },
    headers: {
      ...DOWNLOADED,
      'X-Keyledger-Next-Position': header('With a batch of CloudEvents only: `after` for the next one'),
    },
  })
  async events(
    @Query() given: AuditEventsQuery,
    @CurrentInquiry() inquiry: Inquiry,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    const query = plain(given);
    if (query.format === undefined && /\btext\/event-stream\b/.test(inquiry.accept)) {
      return this.follow(query, positionIn(positionText(inquiry.lastEventId) ?? query.after), inquiry, reply);
    }
    const format = query.format ?? acceptedFormat(inquiry.accept);
    if (format === 'json') return this.page(query, inquiry, reply);
    const asBatch = format === 'ocsf' && inquiry.accept.includes(BATCH_TYPE);
    return asBatch ? this.batch(query, inquiry, reply) : this.stream(query, format, inquiry, reply);
  }

  /** Follow what happens, as server-sent events. Goes on behind `Last-Event-ID`, or `after`. */
  @Get('events/tail')
  @Needs('audit:read', { refusals: [404] })
  @ApiProduces('text/event-stream')
  @ApiOkResponse({ schema: { type: 'string' } })
  async tail(
    @Query() query: AuditTailQuery,
    @CurrentInquiry() inquiry: Inquiry,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    return this.follow(plain(query), positionIn(positionText(inquiry.lastEventId) ?? query.after), inquiry, reply);
  }

  private async page(query: AuditEventsQuery, inquiry: Inquiry, reply: FastifyReply): Promise<void> {
    const { caller, context } = inquiry;
    const seal = sealOf(query);
    const [place] = openCursor(query.cursor, seal, 1) ?? [];
    const after = placeIn('cursor', place) ?? (await this.behind(query));
    const order = query.order ?? (query.after === undefined ? 'newest' : 'oldest');
    const asked: TrailQuery = {
      filter: filterOf(caller, query),
      order,
      reach: caller.reach,
      ...(after !== undefined && { after }),
    };
    const { finds, place: next } = await pageOf(this.trail, asked, query.limit ?? DEFAULT_LIMIT);
    await this.access.read(questionOf(inquiry, query, 'json'), context, finds.length);
    const items = finds.map(rowOf);
    await reply.send({ items, ...(next !== undefined && { nextCursor: cursorOf(seal, String(next)) }) });
  }

  private async stream(
    query: AuditEventsQuery,
    format: Exclude<AuditFormat, 'json'>,
    inquiry: Inquiry,
    reply: FastifyReply,
  ): Promise<void> {
    refuseCursor(query);
    const asked = await this.exportOf(query, format, inquiry);
    const record = () => this.access.exported(questionOf(inquiry, query, format), inquiry.context);
    // Whoever follows asks again and again; that there was nothing new is not worth a record.
    if (format !== 'ocsf') await record();
    if (format === 'csv') void reply.header('content-disposition', 'attachment; filename="audit-events.csv"');
    await sendStream(reply, MEDIA_TYPES[format], inquiry.isStillGood, (signal) => {
      const texts = textOf(this.trail, { ...asked, signal }, format, query.limit);
      return format === 'ocsf' ? recordedFirst(texts, record) : texts;
    });
  }

  /** For whoever comes back again and again: what is new, and where to go on. Nothing new is not worth a record. */
  private async batch(query: AuditEventsQuery, inquiry: Inquiry, reply: FastifyReply): Promise<void> {
    refuseCursor(query);
    const asked = await this.exportOf(query, 'ocsf', inquiry);
    const { finds, place } = await pageOf(this.trail, asked, query.limit ?? DEFAULT_LIMIT);
    if (finds.length > 0) {
      await this.access.exported(questionOf(inquiry, query, 'ocsf'), inquiry.context, finds.length);
    }
    const next = place ?? finds.at(-1)?.recorded.position ?? asked.after;
    if (next !== undefined) void reply.header('x-keyledger-next-position', String(next));
    await reply.type(MEDIA_TYPES.batch).send(JSON.stringify(finds.map(siemEventOf)));
  }

  private async exportOf(query: AuditEventsQuery, format: AuditFormat, { caller }: Inquiry): Promise<TrailQuery> {
    const { reach } = callerOf(caller.principal, 'audit:export');
    const after = await this.behind(query);
    return {
      filter: filterOf({ ...caller, scope: 'audit:export', reach }, query),
      order: query.order ?? 'oldest',
      reach,
      ...(after !== undefined && { after }),
      ...(format === 'ocsf' && { withoutReadsBy: caller.principal.keyId }),
    };
  }

  /** @throws RefusalError 400 for a position that is not there yet: whoever has it has it from another log. */
  private async behind({ after, keyId, order }: AuditEventsQuery): Promise<bigint | undefined> {
    if (after === undefined) return undefined;
    if (keyId !== undefined) throw invalidField('after', 'does not go with keyId', 'fromPosition, or leave one out');
    if (order === 'newest') throw invalidField('order', 'must be oldest where after is given', 'leave it out');
    return this.reached('after', BigInt(after));
  }

  private async reached(field: string, position: bigint): Promise<bigint> {
    if (position > (await this.store.head())) {
      throw invalidField(field, 'lies behind the end of the log', 'a position that an event had');
    }
    return position;
  }

  private async follow(
    query: TrailFilterQuery,
    from: bigint | undefined,
    inquiry: Inquiry,
    reply: FastifyReply,
  ): Promise<void> {
    if (this.news.followers >= MOST_FOLLOWERS) throw unavailable('Too many follow the audit trail here.', 5);
    if (query.keyId !== undefined && query.cursor !== undefined) refuseCursor(query);
    const { caller, context } = inquiry;
    const filter = filterOf(caller, query);
    const after = from === undefined ? await this.store.head() : await this.reached('after', from);
    await this.access.read(questionOf(inquiry, query, 'events'), context);
    const asked = { filter, order: 'oldest', reach: caller.reach, withoutReadsBy: caller.principal.keyId } as const;
    void reply.header('x-accel-buffering', 'no');
    await sendStream(reply, MEDIA_TYPES.events, inquiry.isStillGood, (signal) => this.tailText(asked, after, signal));
  }

  private async *tailText(query: TrailQuery, after: bigint, signal: AbortSignal): AsyncGenerator<string> {
    const leave = await this.news.join();
    try {
      yield `retry: 2000\n: follows behind ${after}\n\n`;
      const { keyId, ...filter } = query.filter;
      for (let place = after; !signal.aborted;) {
        const news = this.news.next();
        for await (const batch of this.trail.read({ ...query, filter, after: place, signal })) {
          const found = batch.found.filter(({ subject }) => keyId === undefined || subject.keyId === keyId);
          if (found.length > 0) yield found.map(serverSentEvent).join('');
          if (batch.place > place) place = batch.place;
        }
        const waiting = new AbortController();
        const heartbeat = pause(HEARTBEAT_MS, true, { signal: AbortSignal.any([signal, waiting.signal]) });
        const silent = await Promise.race([news.then(() => false), heartbeat]).catch(() => false);
        waiting.abort();
        heartbeat.catch(() => undefined);
        if (silent) yield ': still here\n\n';
      }
    } finally {
      leave();
    }
  }
}

/** Records before the first text goes out, and not at all if there is none. */
async function* recordedFirst(texts: AsyncGenerator<string>, record: () => Promise<void>): AsyncGenerator<string> {
  let isRecorded = false;
  for await (const text of texts) {
    if (!isRecorded) await record();
    isRecorded = true;
    yield text;
  }
}

function acceptedFormat(accept: string): AuditFormat {
  if (accept.includes(BATCH_TYPE)) return 'ocsf';
  if (/\btext\/csv\b/.test(accept)) return 'csv';
  return /\bapplication\/(x-)?ndjson\b/.test(accept) ? 'ndjson' : 'json';
}

function refuseCursor({ cursor }: TrailFilterQuery): void {
  if (cursor === undefined) return;
  throw invalidField('cursor', 'is for pages of JSON', 'after, with the position of the last event that you have');
}

function placeIn(field: string, text: string | undefined): bigint | undefined {
  if (text === undefined || /^\d{1,20}$/.test(text)) return positionIn(text);
  throw invalidField(field, 'does not belong to this query', 'the nextCursor of the same query, unchanged');
}

function positionText(lastEventId: string | undefined): string | undefined {
  if (lastEventId === undefined || /^\d{1,20}$/.test(lastEventId)) return lastEventId;
  throw invalidField('Last-Event-ID', 'is no position', 'the id of the last event that you had');
}
