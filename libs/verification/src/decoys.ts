import type { Instant } from '@keyledger/contracts';
import { redactKeys, type Reach } from '@keyledger/platform';
import type { DecoySighting } from '@keyledger/read-model';
import type { FoundKey } from './find-key.js';

/** Told when a decoy is presented. On the path of the answer: it must neither wait nor throw. */
export type OnDecoy = (sighting: DecoySighting) => void;

/** Who asks about a key; a service by its management key. */
export interface Asker {
  reach: Reach;
  principal?: { keyId: string };
}

/** What is looked at of the HTTP request, if it comes to that. */
export interface AskedFrom {
  ip: string;
  headers: { 'user-agent'?: string | undefined };
}

const LONGEST_AGENT = 256;

/** Who presented a decoy, as far as can be known: the client that the service names, else whoever asked. */
export function sightingOf(
  { key: { state }, hashes }: FoundKey,
  seenAt: Instant,
  { clientIp, caller, from }: { clientIp?: string | undefined; caller?: Asker; from?: AskedFrom | undefined },
): DecoySighting {
  const secret = [...state.secrets, ...state.retired].find(({ hash }) => hashes.includes(hash));
  const address = clientIp ?? from?.ip;
  const userAgent = from?.headers['user-agent'];
  const service = caller?.principal?.keyId;
  return {
    keyId: state.keyId,
    secretId: secret?.secretId ?? '',
    seenAt,
    ...(address !== undefined && { address }),
    ...(userAgent !== undefined && { userAgent: redactKeys(userAgent).slice(0, LONGEST_AGENT) }),
    ...(service !== undefined && { service }),
  };
}
