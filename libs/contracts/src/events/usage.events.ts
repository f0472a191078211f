import type { Instant } from '../time.js';
import type { SecretUse } from './key.events.js';

/** What was counted of a key's use up to now, so that it survives the loss of Redis. Counts only grow. */
export interface KeyUsageRecorded {
  type: 'KeyUsageRecorded';
  data: { keyId: string; secrets: SecretUse[]; recordedAt: Instant };
}

export type UsageEvent = KeyUsageRecorded;
