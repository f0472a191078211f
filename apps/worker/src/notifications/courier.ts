import { sealedPlaces } from '@keyledger/contracts';
import type { ChannelState, NotificationState } from '@keyledger/domain';
import { SealingUnavailable, type Sealing } from '@keyledger/platform';
import { OutboundError, type Outbound, type OutboundAnswer } from '../outbound.js';
import { signedHeaders } from '../signing.js';
import { MailError, type Mailer } from './mailer.js';
import { slackPayload, textOf, titleOf, webhookPayload } from './messages.js';

/** What became of one try. `gone`: the receiver wants nothing any more. */
export type Try =
  | { result: 'delivered'; answer: string }
  | { result: 'gone' | 'refused' | 'failed'; problem: string; retryAfterSeconds?: number };

/** Takes a message to its channel, once, in the way of the channel's type. Never throws. */
export class Courier {
  constructor(
    private readonly sealing: Sealing,
    private readonly outbound: Outbound,
    private readonly mailer: Mailer,
  ) {}

  async deliver(channel: ChannelState, notification: NotificationState): Promise<Try> {
    try {
      if (channel.type === 'email') return await this.mail(channel, notification);
      return tryOf(
        channel.type === 'slack' ? await this.slack(channel, notification) : await this.webhook(channel, notification),
      );
    } catch (error) {
      if (error instanceof OutboundError) {
        return { result: error.reason === 'refused' ? 'refused' : 'failed', problem: error.message };
      }
      if (error instanceof MailError) return { result: error.permanent ? 'refused' : 'failed', problem: error.message };
      if (error instanceof SealingUnavailable) return { result: 'failed', problem: error.message };
      throw error;
    }
  }

  private async mail({ target }: ChannelState, notification: NotificationState): Promise<Try> {
    const { notificationId: id } = notification;
    const subject = `[Keyledger] ${titleOf(notification)}`;
    const answer = await this.mailer.send({ to: target.addresses ?? [], subject, text: textOf(notification), id });
    return { result: 'delivered', answer };
  }

  private slack({ channelId, target }: ChannelState, notification: NotificationState): Promise<OutboundAnswer> {
    const url = this.sealing.open(sealedPlaces.channelUrl(channelId), target.sealedUrl ?? '');
    const body = JSON.stringify(slackPayload(notification));
    return this.outbound.post({ url, headers: { 'content-type': 'application/json' }, body });
  }

  private webhook(channel: ChannelState, notification: NotificationState): Promise<OutboundAnswer> {
    const body = JSON.stringify(webhookPayload(notification));
    const headers = signedHeaders(this.sealing, channel, { id: notification.notificationId, body, at: new Date() });
    return this.outbound.post({ url: channel.target.url ?? '', headers, body });
  }
}

/** By Standard Webhooks 1.0.0: 2xx and nothing else is success, 410 ends the endpoint. */
export function tryOf({ status, retryAfterSeconds }: OutboundAnswer): Try {
  if (status >= 200 && status < 300) return { result: 'delivered', answer: String(status) };
  const wait = retryAfterSeconds === undefined ? {} : { retryAfterSeconds };
  const note = status >= 300 && status < 400 ? ', a redirect, which is not followed' : '';
  return { result: status === 410 ? 'gone' : 'failed', problem: `answered ${status}${note}`, ...wait };
}
