const SIGNALS = ['SIGINT', 'SIGTERM'] as const;

/**
 * While `work` runs, SIGINT and SIGTERM do not end the process: they abort `stop`, with their name as its reason. So
 * whoever waits for an answer can still say under which name it can be asked for again, and take away what is half done.
 */
export async function interruptible<T>(work: (stop: AbortSignal) => Promise<T>): Promise<T> {
  const interruption = new AbortController();
  const heard = (signal: NodeJS.Signals): void => interruption.abort(signal);
  for (const signal of SIGNALS) process.on(signal, heard);
  try {
    return await work(interruption.signal);
  } finally {
    for (const signal of SIGNALS) process.off(signal, heard);
  }
}
