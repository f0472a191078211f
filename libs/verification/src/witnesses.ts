import type { OnDecoy } from './decoys.js';
import type { UsageMeter } from './usage-meter.js';

/** Who is told what a verification has seen. None of them is waited for, and none has a say in the answer. */
export interface Witnesses {
  /** Of each good use of a secret. */
  meter?: Pick<UsageMeter, 'used'>;
  /** Of each decoy that was presented. */
  onDecoy?: OnDecoy;
}
