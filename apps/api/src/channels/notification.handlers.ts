import { Command, CommandHandler, type ICommandHandler } from '@nestjs/cqrs';
import { refusal, streams } from '@keyledger/contracts';
import type { NotificationSummary, TestedChannel } from '@keyledger/contracts/http';
import { getsTrail, notificationDecider, type NotificationCommand, type NotificationState } from '@keyledger/domain';
import { Decisions } from '@keyledger/event-store';
import { idFrom, RefusalError, uuidFrom, type Caller } from '@keyledger/platform';
import { ChannelDirectory, listedOf } from '@keyledger/read-model';
import type { Intent } from '../http/intent.js';
import { accepted, receiptFor } from '../outcome.js';
import { Receipts, type Receipt } from '../receipts.js';
import { assertKnown, channelFor, reachesAudience } from './channel-access.js';

const noSuchNotification = (notificationId: string): RefusalError =>
  new RefusalError(refusal('NOT_FOUND', `There is no notification ${notificationId}.`));

/** @throws RefusalError 404 for one that is unknown, or of a channel out of the caller's reach. */
export async function notificationFor(
  caller: Caller,
  notificationId: string,
  decisions: Decisions,
  channels: ChannelDirectory,
): Promise<NotificationState> {
  if (!/^[0-9A-Za-z]{8,64}$/.test(notificationId)) throw noSuchNotification(notificationId);
  await assertKnown(channels);
  const { state } = await decisions.load(notificationDecider, streams.notification(notificationId));
  const known = channels.ever().find(({ channel }) => channel.channelId === state?.channelId);
  if (!state || !known || !reachesAudience(caller, known.channel.audience)) throw noSuchNotification(notificationId);
  return state;
}

export class TestChannel extends Command<Receipt<TestedChannel>> {
  constructor(
    readonly channelId: string,
    readonly intent: Intent,
  ) {
    super();
  }
}

@CommandHandler(TestChannel)
export class TestChannelHandler implements ICommandHandler<TestChannel> {
  constructor(
    private readonly decisions: Decisions,
    private readonly receipts: Receipts,
  ) {}

  async execute({ channelId, intent }: TestChannel): Promise<Receipt<TestedChannel>> {
    return this.receipts.same(intent, () => this.test(channelId, intent));
  }

  private async test(channelId: string, intent: Intent): Promise<Receipt<TestedChannel>> {
    const { caller, context } = intent;
    const { channel } = await channelFor(caller, channelId, this.decisions);
    if (channel.type === 'receiver') {
      throw new RefusalError(refusal('UNPROCESSABLE', 'A receiver gets secrets and no messages that could be tested.'));
    }
    if (getsTrail(channel)) {
      const detail = 'This channel gets the audit trail and no messages that could be tested: any change is its test.';
      throw new RefusalError(refusal('UNPROCESSABLE', detail));
    }
    const { commandId, now } = context;
    const notificationId = idFrom(`test ${channelId} ${commandId}`);
    const item = {
      notificationId,
      channelId,
      kind: 'channel.test' as const,
      keys: [],
      details: { name: channel.name },
      eventId: uuidFrom(notificationId),
      eventPosition: '0',
      happenedAt: now,
      requestedAt: now,
    };
    const command = {
      type: 'RequestNotification' as const,
      items: [item],
      digest: false,
      now,
    } satisfies NotificationCommand;
    const stream = streams.notification(notificationId);
    return receiptFor(
      { notificationId },
      accepted(await this.decisions.run(notificationDecider, stream, command, context)),
    );
  }
}

export class ReplayNotification extends Command<Receipt<NotificationSummary>> {
  constructor(
    readonly notificationId: string,
    readonly intent: Intent,
  ) {
    super();
  }
}

@CommandHandler(ReplayNotification)
export class ReplayNotificationHandler implements ICommandHandler<ReplayNotification> {
  constructor(
    private readonly decisions: Decisions,
    private readonly receipts: Receipts,
    private readonly channels: ChannelDirectory,
  ) {}

  async execute({ notificationId, intent }: ReplayNotification): Promise<Receipt<NotificationSummary>> {
    const { caller, context } = intent;
    return this.receipts.same(intent, async () => {
      await notificationFor(caller, notificationId, this.decisions, this.channels);
      const stream = streams.notification(notificationId);
      const command = { type: 'ReplayNotification', now: context.now } as const;
      const done = accepted(await this.decisions.run(notificationDecider, stream, command, context));
      const { state } = done.left;
      if (!state) throw new Error(`an accepted decision left no notification ${notificationId}`);
      return receiptFor(listedOf(state), done);
    });
  }
}
