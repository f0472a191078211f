import { Body, Controller, Get, HttpCode, Param, Patch, Post, Query, Res } from '@nestjs/common';
import { CommandBus } from '@nestjs/cqrs';
import {
  ChangedKey,
  ChangeKeyRequest,
  ImportKeysRequest,
  ImportResults,
  IssuedKey,
  IssueKeyRequest,
  KeyList,
  KeyView,
  ListKeysQuery,
  RevokedKey,
  RevokeKeyRequest,
  RevokeKeysRequest,
  RevokeResults,
  RotatedKey,
  RotateKeyRequest,
  RotationView,
  StateChangeRequest,
} from '@keyledger/contracts/http';
import { CurrentCaller, PersonalData, systemClock, type Caller } from '@keyledger/platform';
import type { FastifyReply } from 'fastify';
import { received, tagged } from '../http/answers.js';
import { CurrentIntent, type Intent } from '../http/intent.js';
import { Needs } from '../http/needs.js';
import { plain } from '../http/plain.js';
import { ChangeKey } from './change-key.handler.js';
import { ImportKeys } from './import-keys.handler.js';
import { IssueKey } from './issue-key.handler.js';
import { KeyCatalogue } from './key-catalogue.js';
import { keyView } from './key.view.js';
import { rotationView } from './rotation.view.js';
import { RevokeKey, RevokeKeys } from './revoke-keys.handlers.js';
import { RotateKey } from './rotate-key.handler.js';

@Controller('v1/keys')
export class KeysController {
  constructor(
    private readonly commands: CommandBus,
    private readonly catalogue: KeyCatalogue,
    private readonly personal: PersonalData,
  ) {}

  /** Issue a key. The answer shows it, this once. */
  @Post()
  @Needs('keys:issue', { repeatable: true, located: true, tagged: true, refusals: [404, 409, 422] })
  async issue(
    @Body() request: IssueKeyRequest,
    @CurrentIntent() intent: Intent,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<IssuedKey> {
    const issued = received(reply, await this.commands.execute(new IssueKey(request, intent)));
    void reply.header('location', `/v1/keys/${issued.keyId}`);
    return tagged(reply, await this.personal.revealDeep(issued));
  }

  /**
   * Import keys made elsewhere by their SHA-256, up to 1000 in one call. Shapes are checked first: one malformed item
   * refuses the whole request (400), naming its field, and nothing is imported. Each well-formed item has a result of its
   * own.
   */
  @Post('import')
  @HttpCode(200)
  @Needs('keys:import', { repeatable: true, refusals: [404, 409, 422] })
  async import(
    @Body() request: ImportKeysRequest,
    @CurrentIntent() intent: Intent,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<ImportResults> {
    return received(reply, await this.commands.execute(new ImportKeys(request, intent)));
  }

  /** Revoke many keys: those named, or all of a keyspace or an owner, up to 1000 in one call. */
  @Post('revoke')
  @HttpCode(200)
  @Needs('keys:revoke', { repeatable: true, refusals: [404, 409, 422] })
  async revokeMany(
    @Body() request: RevokeKeysRequest,
    @CurrentIntent() intent: Intent,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<RevokeResults> {
    return received(reply, await this.commands.execute(new RevokeKeys(request, intent)));
  }

  /** List keys in the order of their creation. */
  @Get()
  @Needs('keys:read', { refusals: [404] })
  async list(@Query() query: ListKeysQuery, @CurrentCaller() caller: Caller): Promise<KeyList> {
    const { items, nextCursor } = await this.catalogue.list(caller, plain(query));
    const now = systemClock();
    return {
      items: await this.personal.revealDeep(
        items.map(({ state, revision, usage }) => keyView(state, revision, now, usage)),
      ),
      ...(nextCursor !== undefined && { nextCursor }),
    };
  }

  /** Show a key: everything but its secret. */
  @Get(':keyId')
  @Needs('keys:read', { tagged: true, refusals: [404] })
  async show(
    @Param('keyId') keyId: string,
    @CurrentCaller() caller: Caller,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<KeyView> {
    const { state, revision, usage } = await this.catalogue.show(caller, keyId);
    return tagged(reply, await this.personal.revealDeep(keyView(state, revision, systemClock(), usage)));
  }

  /** How far a key's rotation has come: the use of both secrets, when and why the old one ends, when the next is due. */
  @Get(':keyId/rotation')
  @Needs('keys:read', { refusals: [404] })
  async rotation(@Param('keyId') keyId: string, @CurrentCaller() caller: Caller): Promise<RotationView> {
    return rotationView(await this.catalogue.rotation(caller, keyId));
  }

  /** Change a key's name, metadata, owner or restrictions, or bring its expiry forward. */
  @Patch(':keyId')
  @Needs('keys:update', { conditional: true, tagged: true, refusals: [404, 409, 422] })
  async change(
    @Param('keyId') keyId: string,
    @Body() request: ChangeKeyRequest,
    @CurrentIntent() intent: Intent,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<ChangedKey> {
    const { rotation, ...rest } = plain(request);
    const rule = rotation === undefined ? {} : { rotation: rotation ?? ('none' as const) };
    const change = { type: 'ChangeKey', ...rest, ...rule } as const;
    return tagged(reply, await this.changed(reply, new ChangeKey(keyId, change, intent)));
  }

  /** Give a key a new secret. The old one works until its grace ends; the answer shows the new key, this once. */
  @Post(':keyId/rotate')
  @HttpCode(200)
  @Needs('keys:rotate', { repeatable: true, conditional: true, tagged: true, refusals: [404, 409, 422] })
  async rotate(
    @Param('keyId') keyId: string,
    @Body() request: RotateKeyRequest,
    @CurrentIntent() intent: Intent,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<RotatedKey> {
    return tagged(reply, received(reply, await this.commands.execute(new RotateKey(keyId, request, intent))));
  }

  /** Revoke a key, for good and at once. */
  @Post(':keyId/revoke')
  @HttpCode(200)
  @Needs('keys:revoke', { repeatable: true, conditional: true, tagged: true, refusals: [404, 409, 422] })
  async revoke(
    @Param('keyId') keyId: string,
    @Body() request: RevokeKeyRequest,
    @CurrentIntent() intent: Intent,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<RevokedKey> {
    return tagged(reply, received(reply, await this.commands.execute(new RevokeKey(keyId, request, intent))));
  }

  /** Suspend a key until it is reinstated. Whoever may revoke may suspend. */
  @Post(':keyId/suspend')
  @HttpCode(200)
  @Needs('keys:revoke', { repeatable: true, conditional: true, tagged: true, refusals: [404, 409, 422] })
  async suspend(
    @Param('keyId') keyId: string,
    @Body() request: StateChangeRequest,
    @CurrentIntent() intent: Intent,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<ChangedKey> {
    const change = { type: 'SuspendKey', ...plain(request) } as const;
    return tagged(reply, await this.changed(reply, new ChangeKey(keyId, change, intent)));
  }

  /** Let a suspended key work again. Giving access back needs more than taking it: keys:update. */
  @Post(':keyId/reinstate')
  @HttpCode(200)
  @Needs('keys:update', { repeatable: true, conditional: true, tagged: true, refusals: [404, 409, 422] })
  async reinstate(
    @Param('keyId') keyId: string,
    @Body() request: StateChangeRequest,
    @CurrentIntent() intent: Intent,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<ChangedKey> {
    const change = { type: 'ReinstateKey', ...plain(request) } as const;
    return tagged(reply, await this.changed(reply, new ChangeKey(keyId, change, intent)));
  }

  /** A receipt is kept for whoever repeats his request, so people's data is revealed behind it only. */
  private async changed(reply: FastifyReply, change: ChangeKey): Promise<ChangedKey> {
    return this.personal.revealDeep(received(reply, await this.commands.execute(change)));
  }
}
