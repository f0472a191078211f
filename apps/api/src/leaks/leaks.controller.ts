import { Body, Controller, Get, HttpCode, Param, Post, Query, Req, Res } from '@nestjs/common';
import { CommandBus } from '@nestjs/cqrs';
import {
  ChangedLeak,
  FoundKeyAnswer,
  FoundKeyRequest,
  LeakList,
  LeakView,
  ListLeaksQuery,
  ReportedLeak,
  ReportLeakRequest,
  ResolveLeakRequest,
} from '@keyledger/contracts/http';
import { Incidents } from '@keyledger/leaks';
import { contextOf, CurrentCaller, PersonalData, reaches, type Caller } from '@keyledger/platform';
import { IncidentIndex } from '@keyledger/read-model';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { noSuchKeyspace } from '../access.js';
import { tagged } from '../http/answers.js';
import { CurrentIntent, type Intent } from '../http/intent.js';
import { Anybody, Needs } from '../http/needs.js';
import { plain } from '../http/plain.js';
import { FoundIntake } from './found-intake.js';
import { assertLeakId, knownLeak, ReportLeak, ResolveLeak } from './leak.handlers.js';
import { leakView } from './leak.view.js';

const DEFAULT_LIMIT = 100;

@Controller('v1/leaks')
export class LeaksController {
  constructor(
    private readonly commands: CommandBus,
    private readonly incidents: Incidents,
    private readonly index: IncidentIndex,
    private readonly found: FoundIntake,
    private readonly personal: PersonalData,
  ) {}

  /** Report a key that was found where it should not be. What its keyspace says is done when the answer comes. */
  @Post()
  @HttpCode(200)
  @Needs('leaks:report', { located: true, tagged: true })
  async report(
    @Body() request: ReportLeakRequest,
    @CurrentIntent() intent: Intent,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<ReportedLeak> {
    const reported = await this.commands.execute(new ReportLeak(request, intent));
    void reply.header('location', `/v1/leaks/${reported.leakId}`);
    return tagged(reply, await this.personal.revealDeep(reported));
  }

  /** Say that you found a key. The answer is always the same, and comes after the same time. */
  @Post('found')
  @HttpCode(202)
  @Anybody({ refusals: [429] })
  async reportFound(@Body() request: FoundKeyRequest, @Req() http: FastifyRequest): Promise<FoundKeyAnswer> {
    const context = contextOf(
      http,
      { keyId: '' },
      { actor: { type: 'system', id: 'found' }, reason: 'found by somebody' },
    );
    await this.found.take(plain(request), context);
    return { status: 'accepted' };
  }

  /** List incidents, newest first. */
  @Get()
  @Needs('leaks:read', { refusals: [404] })
  async list(@Query() query: ListLeaksQuery, @CurrentCaller() caller: Caller): Promise<LeakList> {
    const { keyspaceId, limit = DEFAULT_LIMIT, ...rest } = plain(query);
    if (keyspaceId !== undefined && !reaches(caller.reach, keyspaceId)) throw noSuchKeyspace(keyspaceId);
    const within = keyspaceId === undefined ? caller.reach : [keyspaceId];
    const { items, nextCursor } = await this.index.list({ within, limit, ...rest });
    return {
      items: await this.personal.revealDeep(
        items.map(({ state, revision }) => leakView(state, revision, caller.reach)),
      ),
      ...(nextCursor !== undefined && { nextCursor }),
    };
  }

  /** Show an incident, as its events stand. */
  @Get(':leakId')
  @Needs('leaks:read', { tagged: true, refusals: [404] })
  async show(
    @Param('leakId') leakId: string,
    @CurrentCaller() caller: Caller,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<LeakView> {
    assertLeakId(leakId);
    const found = await this.incidents.load(leakId);
    const leak = knownLeak(caller, leakId, found?.state);
    return tagged(reply, await this.personal.revealDeep(leakView(leak, found?.revision ?? 0, caller.reach)));
  }

  /** Close an incident. The holder of the key may rotate it by himself again. */
  @Post(':leakId/resolve')
  @HttpCode(200)
  @Needs('leaks:resolve', { conditional: true, tagged: true, refusals: [404, 409] })
  async resolve(
    @Param('leakId') leakId: string,
    @Body() request: ResolveLeakRequest,
    @CurrentIntent() intent: Intent,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<ChangedLeak> {
    const resolved = await this.commands.execute(new ResolveLeak(leakId, request, intent));
    return tagged(reply, await this.personal.revealDeep(resolved));
  }
}
