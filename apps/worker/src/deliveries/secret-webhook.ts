import type { Instant } from '@keyledger/contracts';
import type { DeliveryState } from '@keyledger/domain';
import { SealingUnavailable, type Sealing } from '@keyledger/platform';
import type { ChannelDirectory } from '@keyledger/read-model';
import { OutboundError, type Outbound } from '../outbound.js';
import { signedHeaders } from '../signing.js';

/** How one try to hand a secret over ended; `refused` is for good. */
export type Attempt = { retryAfterSeconds?: number } & (
  { outcome: 'taken' } | { outcome: 'refused' | 'again'; problem: string }
);

/** Hands encrypted secrets to the webhooks of receivers, signed as Standard Webhooks 1.0.0 has it. */
export class SecretWebhook {
  constructor(
    private readonly channels: ChannelDirectory,
    private readonly outbound: Pick<Outbound, 'post'>,
    private readonly sealing: Sealing,
  ) {}

  /** Never fails: what went wrong is in the answer. */
  async send(delivery: DeliveryState, now: Instant): Promise<Attempt> {
    const { deliveryId, channelId, keyId, keyspaceId, ownerId, secret, previousSecretId, jwe, expiresAt } = delivery;
    const channel = this.channels.byId(channelId)?.channel;
    if (!channel) return { outcome: 'refused', problem: 'its receiver was removed' };
    if (channel.disabled !== undefined)
      return { outcome: 'refused', problem: `its receiver is disabled: ${channel.disabled}` };
    const { url } = channel.target;
    if (url === undefined) return { outcome: 'refused', problem: 'its receiver has no url any more' };
    const { secretId, mask } = secret;
    const data = { deliveryId, keyId, keyspaceId, ownerId, secretId, mask, previousSecretId, expiresAt, jwe };
    const body = JSON.stringify({ type: 'secret.ready', timestamp: now, data });
    try {
      const headers = signedHeaders(this.sealing, channel, { id: deliveryId, body, at: new Date(now) });
      return attemptOf(await this.outbound.post({ url, headers, body }));
    } catch (error) {
      if (!(error instanceof OutboundError) && !(error instanceof SealingUnavailable)) throw error;
      return { outcome: 'again', problem: `${channel.name}: ${error.message}` };
    }
  }
}

function attemptOf({ status, retryAfterSeconds }: { status: number; retryAfterSeconds?: number }): Attempt {
  if (status >= 200 && status < 300) return { outcome: 'taken' };
  const problem = `the receiver answered ${status}`;
  if (status === 410) return { outcome: 'refused', problem };
  return { outcome: 'again', problem, ...(retryAfterSeconds !== undefined && { retryAfterSeconds }) };
}
