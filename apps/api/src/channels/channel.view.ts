import { sealedPlaces } from '@keyledger/contracts';
import type { ChannelView } from '@keyledger/contracts/http';
import { signingSecrets, type ChannelState } from '@keyledger/domain';
import { systemClock, type Sealing } from '@keyledger/platform';

export function channelView(channel: ChannelState, revision: number, sealing: Sealing): ChannelView {
  const { channelId, name, type, audience, target, kinds, disabled, createdAt } = channel;
  const { sealedUrl, ...shown } = target;
  const secrets = signingSecrets(channel, systemClock()).map(({ sealed: _, ...secret }) => secret);
  return {
    channelId,
    name,
    type,
    audience,
    target: sealedUrl === undefined ? shown : { url: hostOf(sealing, channelId, sealedUrl) },
    ...(kinds && { kinds }),
    enabled: disabled === undefined,
    ...(disabled !== undefined && { disabledBecause: disabled }),
    secrets,
    createdAt,
    revision,
  };
}

/** Of an address that is a credential, as much as tells which it is. */
function hostOf(sealing: Sealing, channelId: string, sealedUrl: string): string {
  try {
    return `${new URL(sealing.open(sealedPlaces.channelUrl(channelId), sealedUrl)).origin}/…`;
  } catch {
    return 'sealed under a key that is not configured';
  }
}
