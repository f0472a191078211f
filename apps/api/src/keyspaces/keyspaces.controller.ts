import { Body, Controller, Get, HttpCode, Param, Patch, Post, Query, Res } from '@nestjs/common';
import { CommandBus } from '@nestjs/cqrs';
import { ApiOkResponse } from '@nestjs/swagger';
import {
  ChangedKeyspace,
  ChangeKeyspaceRequest,
  CreateKeyspaceRequest,
  KeyspaceList,
  KeyspaceView,
  PageQuery,
  ScannerRulesQuery,
} from '@keyledger/contracts/http';
import { CurrentCaller, reaches, type Caller } from '@keyledger/platform';
import { ReadModel } from '@keyledger/read-model';
import type { FastifyReply } from 'fastify';
import { noSuchKeyspace } from '../access.js';
import { received, tagged } from '../http/answers.js';
import { CurrentIntent, type Intent } from '../http/intent.js';
import { Needs } from '../http/needs.js';
import { plain } from '../http/plain.js';
import { ChangeKeyspace, CreateKeyspace } from './keyspace.handlers.js';
import { scannerRules } from './scanner-rules.js';
import { keyspaceView } from './keyspace.view.js';

const DEFAULT_LIMIT = 100;

@Controller('v1/keyspaces')
export class KeyspacesController {
  constructor(
    private readonly commands: CommandBus,
    private readonly readModel: ReadModel,
  ) {}

  /** Create a keyspace: where keys live, under one prefix and one policy. */
  @Post()
  @Needs('keyspaces:create', { repeatable: true, located: true, tagged: true, refusals: [409, 422] })
  async create(
    @Body() request: CreateKeyspaceRequest,
    @CurrentIntent() intent: Intent,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<ChangedKeyspace> {
    const created = received(reply, await this.commands.execute(new CreateKeyspace(request, intent)));
    void reply.header('location', `/v1/keyspaces/${created.keyspaceId}`);
    return tagged(reply, created);
  }

  /** List keyspaces. */
  @Get()
  @Needs('keyspaces:read')
  async list(@Query() query: PageQuery, @CurrentCaller() caller: Caller): Promise<KeyspaceList> {
    const { limit = DEFAULT_LIMIT, ...rest } = plain(query);
    const { items, nextCursor } = await this.readModel.listKeyspaces({ within: caller.reach, limit, ...rest });
    return {
      items: items.map(({ state, revision }) => keyspaceView(state, revision)),
      ...(nextCursor !== undefined && { nextCursor }),
    };
  }

  /** Show a keyspace and its policy. */
  @Get(':keyspaceId')
  @Needs('keyspaces:read', { tagged: true, refusals: [404] })
  async show(
    @Param('keyspaceId') keyspaceId: string,
    @CurrentCaller() caller: Caller,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<KeyspaceView> {
    const found = reaches(caller.reach, keyspaceId) ? await this.readModel.keyspace(keyspaceId) : undefined;
    if (!found) throw noSuchKeyspace(keyspaceId);
    return tagged(reply, keyspaceView(found.state, found.revision));
  }

  /** Give the rules by which a scanner finds the secret keys of a keyspace: gitleaks, TruffleHog or secretlint. */
  @Get(':keyspaceId/scanner-rules')
  @Needs('keyspaces:read', { refusals: [404] })
  @ApiOkResponse({
    content: {
      'application/toml': { schema: { type: 'string' } },
      'application/yaml': { schema: { type: 'string' } },
      'application/json': { schema: { type: 'object' } },
    },
  })
  async scannerRules(
    @Param('keyspaceId') keyspaceId: string,
    @Query() { format }: ScannerRulesQuery,
    @CurrentCaller() caller: Caller,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<string> {
    const found = reaches(caller.reach, keyspaceId) ? await this.readModel.keyspace(keyspaceId) : undefined;
    if (!found) throw noSuchKeyspace(keyspaceId);
    const { mediaType, text } = scannerRules(found.state, format);
    void reply.type(`${mediaType}; charset=utf-8`);
    return text;
  }

  /** Change a keyspace's name, environments or policy. The policy is merged; keys that exist keep what they have. */
  @Patch(':keyspaceId')
  @Needs('keyspaces:update', { conditional: true, tagged: true, refusals: [404, 409, 422] })
  async change(
    @Param('keyspaceId') keyspaceId: string,
    @Body() request: ChangeKeyspaceRequest,
    @CurrentIntent() intent: Intent,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<ChangedKeyspace> {
    return tagged(reply, received(reply, await this.commands.execute(new ChangeKeyspace(keyspaceId, request, intent))));
  }

  /** Archive a keyspace: no key is issued, imported or rotated in it any more; those that exist are judged as before. */
  @Post(':keyspaceId/archive')
  @HttpCode(200)
  @Needs('keyspaces:update', { repeatable: true, conditional: true, tagged: true, refusals: [404, 409, 422] })
  async archive(
    @Param('keyspaceId') keyspaceId: string,
    @CurrentIntent() intent: Intent,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<ChangedKeyspace> {
    const change = new ChangeKeyspace(keyspaceId, 'archive', intent);
    return tagged(reply, received(reply, await this.commands.execute(change)));
  }
}
