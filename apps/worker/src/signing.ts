import { instantOf, sealedPlaces } from '@keyledger/contracts';
import { signingSecrets, type ChannelState } from '@keyledger/domain';
import type { Sealing } from '@keyledger/platform';
import { Webhook } from 'standardwebhooks';

/**
 * The headers of a message by Standard Webhooks 1.0.0: its id, the same at every try; the time of this try; a signature
 * by each secret that the channel has at that time.
 * @throws SealingUnavailable
 */
export function signedHeaders(
  sealing: Sealing,
  channel: Pick<ChannelState, 'channelId' | 'secrets'>,
  { id, body, at }: { id: string; body: string; at: Date },
): Record<string, string> {
  const secrets = signingSecrets(channel, instantOf(at.getTime()));
  const signatures = secrets.map(({ secretId, sealed }) => {
    return new Webhook(sealing.open(sealedPlaces.channelSecret(channel.channelId, secretId), sealed)).sign(
      id,
      at,
      body,
    );
  });
  return {
    'content-type': 'application/json',
    'user-agent': 'Keyledger (Standard Webhooks 1.0.0)',
    'webhook-id': id,
    'webhook-timestamp': String(Math.floor(at.getTime() / 1000)),
    'webhook-signature': signatures.join(' '),
  };
}
