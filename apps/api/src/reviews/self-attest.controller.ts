import { Body, Controller, HttpCode, Post, Req, Res } from '@nestjs/common';
import { CommandBus } from '@nestjs/cqrs';
import { AttestedKey, SelfAttestRequest } from '@keyledger/contracts/http';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { received } from '../http/answers.js';
import { intentOf } from '../http/intent.js';
import { ByPossession } from '../http/needs.js';
import { plain } from '../http/plain.js';
import { KeyHolders } from '../keys/key-holders.js';
import { AttestAccess } from './review.handlers.js';

/** What the holder of a reviewed key may say of it with nothing but the key. */
@Controller('v1/keys/self')
export class SelfAttestController {
  constructor(
    private readonly commands: CommandBus,
    private readonly holders: KeyHolders,
  ) {}

  /** Attest the very key that is presented, in a review that lists it: it is still needed, or it shall be revoked. */
  @Post('attest')
  @HttpCode(200)
  @ByPossession({ repeatable: true, refusals: [403, 404, 409] })
  async attest(
    @Body() request: SelfAttestRequest,
    @Req() http: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<AttestedKey> {
    const { reviewId, ...said } = plain(request);
    const permission = said.decision === 'revoke' ? 'selfRevoke' : undefined;
    const { keyId, caller } = await this.holders.holderOf(http, 'reviews:attest', permission);
    const attester = { as: 'holder', keyId } as const;
    const command = new AttestAccess(reviewId, { keyId, ...said }, attester, intentOf(http, caller));
    return received(reply, await this.commands.execute(command));
  }
}
