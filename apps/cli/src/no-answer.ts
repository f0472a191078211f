/** What `fetch` throws, by its shape: its own reason hides behind `cause`. */
interface FetchFailure {
  name?: string;
  message?: string;
  cause?: { code?: string; message?: string };
}

/** Nobody was there to hear the request: it was certainly not carried out. */
const NEVER_SENT: readonly unknown[] = ['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN'];

export const wasNeverSent = (error: unknown): boolean => NEVER_SENT.includes((error as FetchFailure).cause?.code);

/** What is to be said of a request that `fetch` gave up. */
export function whyNoAnswer(error: unknown, timeoutMs: number): string {
  const { name, message, cause } = error as FetchFailure;
  if (name === 'TimeoutError') return `did not answer within ${timeoutMs / 1000} s`;
  if (cause?.code === 'ECONNREFUSED') return 'refuses connections: is the system up? (npm run up)';
  if (cause?.code === 'ENOTFOUND' || cause?.code === 'EAI_AGAIN') return 'has a name that cannot be resolved';
  return `cannot be reached: ${cause?.message ?? message ?? String(error)}`;
}
