import { Controller, Get, Headers, Param, ParseIntPipe, Query, Res } from '@nestjs/common';
import { ApiOkResponse, ApiProduces } from '@nestjs/swagger';
import {
  AuditKeyList,
  CheckpointList,
  CheckpointView,
  ConsistencyQuery,
  ConsistencyView,
  ExportRangeView,
  InclusionQuery,
  InclusionView,
  PageQuery,
  RangeQuery,
} from '@keyledger/contracts/http';
import { formatReceipt, leafHash, parseVerifierKey, type RecordedCheckpoint } from '@keyledger/audit';
import { invalidField, scopeMissing, type Caller } from '@keyledger/platform';
import type { FastifyReply } from 'fastify';
import { AnswersIn, header } from '../http/forms.js';
import { Needs } from '../http/needs.js';
import { AccessLog } from './access-log.js';
import { CurrentInquiry, type Inquiry } from './inquiry.js';
import { Proofs, signersOf, type Inclusion } from './proofs.js';
import { sendStream } from './streaming.js';

const DEFAULT_LIMIT = 100;
const TEXT = 'text/plain; charset=utf-8';
const NDJSON = 'application/x-ndjson; charset=utf-8';

/** Tamper evidence: signed checkpoints, proofs against them, and the events that they prove. */
@Controller('v1/audit')
export class ProofController {
  constructor(
    private readonly proofs: Proofs,
    private readonly access: AccessLog,
  ) {}

  /** Give the newest signed checkpoint of the audit log; with `Accept: text/plain` the note alone. */
  @Get('checkpoint')
  @Needs('audit:read', { refusals: [404] })
  @AnswersIn(CheckpointView, { text: ['text/plain'] })
  async checkpoint(
    @Headers('accept') accept: string | undefined,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<CheckpointView | string> {
    const newest = await this.proofs.newest();
    return wantsText(accept) ? asText(reply, newest.note) : checkpointView(newest);
  }

  /** List signed checkpoints, newest first. */
  @Get('checkpoints')
  @Needs('audit:read')
  async checkpoints(@Query() { limit = DEFAULT_LIMIT, cursor }: PageQuery): Promise<CheckpointList> {
    const items = await this.proofs.page(limit, cursorOf(cursor));
    const oldest = items.at(-1)?.revision ?? 0;
    return { items: items.map(checkpointView), ...(oldest > 0 && { nextCursor: String(oldest - 1) }) };
  }

  /** List the public keys that sign and have signed checkpoints. Get them by another way too before you trust them. */
  @Get('keys')
  @Needs('audit:read', { refusals: [404] })
  async keys(): Promise<AuditKeyList> {
    const newest = await this.proofs.newest();
    const signing = signersOf(newest);
    const items = newest.keys.map((key) => {
      const { name, id } = parseVerifierKey(key);
      return { key, name, id, signing: signing.includes(`${name}+${id}`) };
    });
    return { items };
  }

  /**
   * Prove that an event is in the log; with `Accept: text/plain` as a receipt in the form of C2SP tlog-proof. The event
   * comes with it, whatever keyspace it is of, so the scope must not be bound to one.
   */
  @Get('proof/inclusion')
  @Needs('audit:read', { refusals: [404] })
  @AnswersIn(InclusionView, { text: ['text/plain'] })
  async inclusion(
    @Query() query: InclusionQuery,
    @CurrentInquiry() { caller, context }: Inquiry,
    @Headers('accept') accept: string | undefined,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<InclusionView | string> {
    assertUnbound(caller);
    const found = await this.find(query);
    const filter = { eventId: found.event.id };
    const question = { route: 'GET /v1/audit/proof/inclusion', filter, range: {}, format: 'json' } as const;
    await this.access.read(question, context, 1);
    return wantsText(accept) ? asText(reply, receiptOf(found)) : inclusionView(found);
  }

  /** Prove that the log of a larger tree begins with all of a smaller one. */
  @Get('proof/consistency')
  @Needs('audit:read', { refusals: [404] })
  async consistency(@Query() { first, second }: ConsistencyQuery): Promise<ConsistencyView> {
    const { roots, hashes, checkpoint, ...sizes } = await this.proofs.consistency(first, second);
    return {
      ...sizes,
      firstRootHash: base64(roots[0]),
      secondRootHash: base64(roots[1]),
      hashes: hashes.map(base64),
      checkpoint: checkpoint.note,
    };
  }

  /** Give a tile of hashes of the tree (C2SP tlog-tiles): 256 of 32 bytes, fewer at the tree's right edge. */
  @Get('tile/:level/:index')
  @Needs('audit:read', { refusals: [404] })
  @ApiProduces('application/octet-stream')
  @ApiOkResponse({ schema: { type: 'string', format: 'binary' } })
  async tile(
    @Param('level', ParseIntPipe) level: number,
    @Param('index', ParseIntPipe) index: number,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<Buffer> {
    if (level < 0 || level > 6) throw invalidField('level', 'is no level of tiles', '0 to 6');
    if (index < 0) throw invalidField('index', 'is no tile', 'a whole number from 0 on');
    void reply.type('application/octet-stream');
    return this.proofs.tile(level, index);
  }

  /** Say which events an export would hold. */
  @Get('export/range')
  @Needs('audit:export', { refusals: [404] })
  async range(@Query() { from, to }: RangeQuery, @CurrentInquiry() { caller }: Inquiry): Promise<ExportRangeView> {
    assertUnbound(caller);
    return this.proofs.range(from, to);
  }

  /**
   * Stream the events of a range as leaves of the audit tree, one a line, exactly the bytes that are hashed. With the tiles
   * and checkpoints this is all that a bundle is made of: `keyledger audit export` does that.
   */
  @Get('export')
  @Needs('audit:export', { refusals: [404] })
  @ApiProduces('application/x-ndjson')
  @ApiOkResponse({
    schema: { type: 'string' },
    headers: { 'X-Keyledger-Range': header('The first event, and behind a hyphen the one that follows the last') },
  })
  async export(
    @Query() query: RangeQuery,
    @CurrentInquiry() { caller, context, isStillGood }: Inquiry,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    assertUnbound(caller);
    const { from, to } = await this.proofs.range(query.from, query.to);
    const range = { from: String(from), to: String(to) };
    const question = { route: 'GET /v1/audit/export', filter: {}, range, format: 'ndjson' } as const;
    await this.access.exported(question, context, to - from);
    void reply.header('x-keyledger-range', `${from}-${to}`);
    await sendStream(reply, NDJSON, isStillGood, (leaving) => this.proofs.lines(from, to, leaving));
  }

  private async find({ eventId, position, index }: InclusionQuery): Promise<Inclusion> {
    const fix = 'one of eventId, position and index';
    const [given, another] = Object.entries({ eventId, position, index }).flatMap(([name, one]) =>
      one === undefined ? [] : [name],
    );
    if (given === undefined) throw invalidField('eventId', 'is missing, and so are position and index', fix);
    if (another !== undefined) throw invalidField(another, `names an event besides ${given}`, fix);
    if (index !== undefined) return this.proofs.inclusion(async () => index);
    if (eventId !== undefined) return this.proofs.inclusion(this.proofs.indexOfId(eventId));
    if (!/^\d{1,19}$/.test(position ?? '')) {
      throw invalidField('position', 'is no position', 'a decimal number, as events have it');
    }
    return this.proofs.inclusion((tree) => tree.indexOf(BigInt(position ?? '')));
  }
}

/** Proofs and leaves are of the whole log: a scope that ends at a keyspace does not reach them. */
function assertUnbound(caller: Caller): void {
  if (caller.reach !== 'all') throw scopeMissing(caller.scope);
}

const base64 = (bytes: Buffer): string => bytes.toString('base64');

const wantsText = (accept: string | undefined): boolean => /^text\/plain\b/.test(accept ?? '');

function asText(reply: FastifyReply, text: string): string {
  void reply.type(TEXT);
  return text;
}

function cursorOf(cursor: string | undefined): number | undefined {
  if (cursor === undefined) return undefined;
  if (/^\d{1,15}$/.test(cursor)) return Number(cursor);
  throw invalidField('cursor', 'does not belong to this query', 'the nextCursor of the page before, unchanged');
}

function checkpointView({
  origin,
  size,
  root,
  note,
  signedAt,
  position,
  revision,
}: RecordedCheckpoint): CheckpointView {
  return { origin, size, rootHash: root, note, signedAt, position, revision };
}

function receiptOf({ index, hashes, checkpoint, event }: Inclusion): string {
  const extra = Buffer.from(JSON.stringify({ eventId: event.id, position: String(event.position) }));
  return formatReceipt({ index, hashes, checkpoint: checkpoint.note, extra });
}

function inclusionView({ index, checkpoint, hashes, leaf, event }: Inclusion): InclusionView {
  const { id, stream, revision, type, recordedAt, position } = event;
  return {
    index,
    size: checkpoint.size,
    rootHash: checkpoint.root,
    leafHash: base64(leafHash(leaf)),
    hashes: hashes.map(base64),
    checkpoint: checkpoint.note,
    event: { id, stream, revision, type, recordedAt, position: String(position) },
    leaf: leaf.toString('utf8'),
  };
}
