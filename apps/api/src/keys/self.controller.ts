import { Body, Controller, HttpCode, Post, Req, Res } from '@nestjs/common';
import { CommandBus } from '@nestjs/cqrs';
import { RevokedKey, RevokeKeyRequest, RotatedKey, RotateSelfRequest } from '@keyledger/contracts/http';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { received, tagged } from '../http/answers.js';
import { intentOf } from '../http/intent.js';
import { ByPossession } from '../http/needs.js';
import { KeyHolders } from './key-holders.js';
import { RevokeKey } from './revoke-keys.handlers.js';
import { RotateKey } from './rotate-key.handler.js';

/** What the holder of a key may do with nothing but the key, where the policy of its keyspace allows it. */
@Controller('v1/keys/self')
export class SelfController {
  constructor(
    private readonly commands: CommandBus,
    private readonly holders: KeyHolders,
  ) {}

  /** Rotate the very key that is presented, with the grace that the policy gives. */
  @Post('rotate')
  @HttpCode(200)
  @ByPossession({ repeatable: true, conditional: true, tagged: true, refusals: [403, 409] })
  async rotate(
    @Body() request: RotateSelfRequest,
    @Req() http: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<RotatedKey> {
    const holder = await this.holders.holderOf(http, 'keys:rotate', 'selfRotate');
    const command = new RotateKey(holder.keyId, request, intentOf(http, holder.caller), holder.assertCurrent);
    return tagged(reply, received(reply, await this.commands.execute(command)));
  }

  /** Revoke the very key that is presented, for good and at once. */
  @Post('revoke')
  @HttpCode(200)
  @ByPossession({ repeatable: true, conditional: true, tagged: true, refusals: [403, 409] })
  async revoke(
    @Body() request: RevokeKeyRequest,
    @Req() http: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<RevokedKey> {
    const holder = await this.holders.holderOf(http, 'keys:revoke', 'selfRevoke');
    const command = new RevokeKey(holder.keyId, request, intentOf(http, holder.caller));
    return tagged(reply, received(reply, await this.commands.execute(command)));
  }
}
