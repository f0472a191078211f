import { Body, Controller, Delete, Get, HttpCode, Param, Patch, Post, Query, Res } from '@nestjs/common';
import { CommandBus } from '@nestjs/cqrs';
import {
  ChangeChannelRequest,
  ChannelList,
  ChannelView,
  ChannelWithSecret,
  PageQuery,
  RegisterChannelRequest,
  RotateChannelSecretRequest,
  TestedChannel,
} from '@keyledger/contracts/http';
import { Decisions } from '@keyledger/event-store';
import { CurrentCaller, invalidField, Sealing, type Caller } from '@keyledger/platform';
import { ChannelDirectory } from '@keyledger/read-model';
import type { FastifyReply } from 'fastify';
import { received, tagged } from '../http/answers.js';
import { CurrentIntent, type Intent } from '../http/intent.js';
import { Needs } from '../http/needs.js';
import { assertKnown, channelFor, reachesAudience } from './channel-access.js';
import { ChangeChannel, RegisterChannel, RotateChannelSecret } from './channel.handlers.js';
import { channelView } from './channel.view.js';
import { TestChannel } from './notification.handlers.js';

const DEFAULT_LIMIT = 100;

@Controller('v1/channels')
export class ChannelsController {
  constructor(
    private readonly commands: CommandBus,
    private readonly channels: ChannelDirectory,
    private readonly decisions: Decisions,
    private readonly sealing: Sealing,
  ) {}

  /** Register a channel. The answer shows its signing secret, if it has one, this once. */
  @Post()
  @Needs('channels:write', { repeatable: true, located: true, tagged: true, refusals: [404, 409, 422] })
  async register(
    @Body() request: RegisterChannelRequest,
    @CurrentIntent() intent: Intent,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<ChannelWithSecret> {
    const registered = received(reply, await this.commands.execute(new RegisterChannel(request, intent)));
    void reply.header('location', `/v1/channels/${registered.channelId}`);
    return tagged(reply, registered);
  }

  /** List channels in the order of their registration. */
  @Get()
  @Needs('channels:read')
  async list(
    @Query() { limit = DEFAULT_LIMIT, cursor }: PageQuery,
    @CurrentCaller() caller: Caller,
  ): Promise<ChannelList> {
    await assertKnown(this.channels);
    const all = this.channels.list().filter(({ channel }) => reachesAudience(caller, channel.audience));
    const after = cursor === undefined ? -1 : all.findIndex(({ channel }) => channel.channelId === cursor);
    if (cursor !== undefined && after < 0) {
      throw invalidField('cursor', 'does not belong to this query', 'the nextCursor of the same query, unchanged');
    }
    const page = all.slice(after + 1, after + 1 + limit);
    const last = page.at(-1)?.channel.channelId;
    return {
      items: page.map(({ channel, revision }) => channelView(channel, revision, this.sealing)),
      ...(after + 1 + limit < all.length && last !== undefined && { nextCursor: last }),
    };
  }

  /** Show a channel. */
  @Get(':channelId')
  @Needs('channels:read', { tagged: true, refusals: [404] })
  async show(
    @Param('channelId') channelId: string,
    @CurrentCaller() caller: Caller,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<ChannelView> {
    const { channel, revision } = await channelFor(caller, channelId, this.decisions);
    return tagged(reply, channelView(channel, revision, this.sealing));
  }

  /** Change a channel's name, target or kinds, or stop and begin sending there. */
  @Patch(':channelId')
  @Needs('channels:write', { conditional: true, tagged: true, refusals: [404, 409, 422] })
  async change(
    @Param('channelId') channelId: string,
    @Body() request: ChangeChannelRequest,
    @CurrentIntent() intent: Intent,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<ChannelView> {
    return tagged(reply, received(reply, await this.commands.execute(new ChangeChannel(channelId, request, intent))));
  }

  /** Remove a channel. What waits to be sent there fails. */
  @Delete(':channelId')
  @HttpCode(204)
  @Needs('channels:write', { conditional: true, refusals: [404, 409] })
  async remove(@Param('channelId') channelId: string, @CurrentIntent() intent: Intent): Promise<void> {
    await this.commands.execute(new ChangeChannel(channelId, 'remove', intent));
  }

  /** Send a test message there, also if it is disabled; it is tried once. */
  @Post(':channelId/test')
  @HttpCode(202)
  @Needs('channels:write', { repeatable: true, refusals: [404, 409, 422] })
  async test(
    @Param('channelId') channelId: string,
    @CurrentIntent() intent: Intent,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<TestedChannel> {
    return received(reply, await this.commands.execute(new TestChannel(channelId, intent)));
  }

  /** Give a webhook a new signing secret. Messages are signed by both until the overlap ends. */
  @Post(':channelId/rotate-secret')
  @HttpCode(200)
  @Needs('channels:write', { repeatable: true, conditional: true, tagged: true, refusals: [404, 409, 422] })
  async rotateSecret(
    @Param('channelId') channelId: string,
    @Body() { overlap }: RotateChannelSecretRequest,
    @CurrentIntent() intent: Intent,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<ChannelWithSecret> {
    const rotation = new RotateChannelSecret(channelId, overlap, intent);
    return tagged(reply, received(reply, await this.commands.execute(rotation)));
  }
}
