import { Controller, Get, HttpCode, Param, Post, Query, Res } from '@nestjs/common';
import { CommandBus } from '@nestjs/cqrs';
import { ListNotificationsQuery, NotificationList, NotificationSummary } from '@keyledger/contracts/http';
import { Decisions } from '@keyledger/event-store';
import { CurrentCaller, type Caller } from '@keyledger/platform';
import { ChannelDirectory, listedOf, NotificationIndex } from '@keyledger/read-model';
import type { FastifyReply } from 'fastify';
import { received } from '../http/answers.js';
import { CurrentIntent, type Intent } from '../http/intent.js';
import { Needs } from '../http/needs.js';
import { assertKnown, noSuchChannel, reachesAudience } from './channel-access.js';
import { notificationFor, ReplayNotification } from './notification.handlers.js';

const DEFAULT_LIMIT = 100;

@Controller('v1/notifications')
export class NotificationsController {
  constructor(
    private readonly commands: CommandBus,
    private readonly channels: ChannelDirectory,
    private readonly decisions: Decisions,
    private readonly index: NotificationIndex,
  ) {}

  /** List notifications, newest first: the dead letters, those that wait, or those that were delivered. */
  @Get()
  @Needs('channels:read', { refusals: [404] })
  async list(@Query() query: ListNotificationsQuery, @CurrentCaller() caller: Caller): Promise<NotificationList> {
    const { state = 'failed', channelId, limit = DEFAULT_LIMIT, cursor } = query;
    const channelIds = await this.reachable(caller, channelId);
    return this.index.list({
      state,
      ...(channelIds && { channelIds }),
      limit,
      ...(cursor !== undefined && { cursor }),
    });
  }

  /** Show a notification. */
  @Get(':notificationId')
  @Needs('channels:read', { refusals: [404] })
  async show(
    @Param('notificationId') notificationId: string,
    @CurrentCaller() caller: Caller,
  ): Promise<NotificationSummary> {
    return listedOf(await notificationFor(caller, notificationId, this.decisions, this.channels));
  }

  /** Try a dead letter again, from the beginning and under the same `webhook-id`. */
  @Post(':notificationId/replay')
  @HttpCode(202)
  @Needs('channels:write', { repeatable: true, refusals: [404, 409, 422] })
  async replay(
    @Param('notificationId') notificationId: string,
    @CurrentIntent() intent: Intent,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<NotificationSummary> {
    return received(reply, await this.commands.execute(new ReplayNotification(notificationId, intent)));
  }

  /** The channels whose notifications are meant; `undefined`: all. */
  private async reachable(caller: Caller, channelId: string | undefined): Promise<string[] | undefined> {
    if (channelId === undefined && caller.reach === 'all') return undefined;
    await assertKnown(this.channels);
    const mine = this.channels.ever().filter(({ channel }) => reachesAudience(caller, channel.audience));
    const ids = mine.map(({ channel }) => channel.channelId);
    if (channelId === undefined) return ids;
    if (!ids.includes(channelId)) throw noSuchChannel(channelId, 'channelId');
    return [channelId];
  }
}
