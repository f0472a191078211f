import { setMaxListeners } from 'node:events';

/**
 * A signal that aborts as soon as one of others does, until it is let go. `AbortSignal.any` leaves an entry with each of
 * them for ever, and one that lives as long as its process would gather one with every read.
 */
export function joinedSignal(...signals: readonly (AbortSignal | undefined)[]): {
  signal: AbortSignal;
  letGo: () => void;
} {
  const joined = new AbortController();
  const given = signals.filter((signal) => signal !== undefined);
  const listeners = given.map((signal) => {
    const onAbort = (): void => joined.abort(signal.reason);
    if (signal.aborted) {
      onAbort();
      return () => undefined;
    }
    // However many there are at a time, each comes off again.
    setMaxListeners(0, signal);
    signal.addEventListener('abort', onAbort, { once: true });
    return () => signal.removeEventListener('abort', onAbort);
  });
  return { signal: joined.signal, letGo: () => listeners.forEach((take) => take()) };
}
