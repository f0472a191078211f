import type { Instant, LeakSource } from '@keyledger/contracts';
import { idFrom } from '@keyledger/platform';
import type { FoundToken } from './token.js';

/** Something was found somewhere. */
export interface LeakReport {
  source: LeakSource;
  token: FoundToken;
  /** What the reporter calls this kind of token. */
  tokenType?: string;
  url?: string;
  location?: string;
  comment?: string;
  presentedFrom?: { address?: string; userAgent?: string; service?: string };
  /** Of a decoy: the same for all that came from one address. */
  sameAs?: string;
  /** Of a report by hash: the keyspaces in which it counts; absent: all. */
  within?: readonly string[];
}

/**
 * The id of the incident that a report is about: the same text at the same place is reported once by each source. What
 * anybody may report or cause, found keys and decoys, is one incident a day, whatever is said about the place.
 */
export function leakIdOf({ source, token, url = '', sameAs = '', within }: LeakReport, now: Instant): string {
  const day = now.slice(0, 10);
  if (source === 'found') return idFrom(`leak found\n${token.hash}\n${day}`);
  if (source === 'honeykey') return idFrom(`leak honeykey\n${token.hash}\n${sameAs}\n${day}`);
  // One that counts in some keyspaces only must not stand in the way of another that counts everywhere.
  const where = within ? `\nwithin ${[...within].sort().join(' ')}` : '';
  return idFrom(`leak ${source}\n${token.hash}\n${url}${where}`);
}
