import { instantOf, type Instant } from '@keyledger/contracts';

/** Where "now" comes from; the domain is told, and never asks. */
export type Clock = () => Instant;

let lastMillis = 0;
let lastInstant: Instant = instantOf(0);

/** The system's clock. Within one millisecond it gives the same text, so that a busy route does not format it anew. */
export const systemClock: Clock = () => {
  const millis = Date.now();
  if (millis !== lastMillis) {
    lastMillis = millis;
    lastInstant = instantOf(millis);
  }
  return lastInstant;
};
