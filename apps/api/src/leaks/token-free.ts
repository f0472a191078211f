import { redactKeys } from '@keyledger/platform';

/** Shorter ones would be found inside ordinary words. */
const SHORTEST_TOKEN = 8;

/** What a reporter wrote beside a token, in which the token may stand again: without it, and without other keys of ours. */
export function withoutToken(text: string, token: string | undefined): string {
  return redactKeys(token === undefined || token.length < SHORTEST_TOKEN ? text : text.replaceAll(token, '…'));
}
