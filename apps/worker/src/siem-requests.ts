const EVENTS_PER_REQUEST = 100;
const BYTES_PER_REQUEST = 256 * 1024;

export interface EventText {
  /** The event as JSON. */
  text: string;
}

/** In order, as many events a request as fit; one that is too large by itself goes alone. */
export function requestsOf<T extends EventText>(events: readonly T[]): T[][] {
  const requests: T[][] = [];
  let bytes = 0;
  for (const mapped of events) {
    const size = Buffer.byteLength(mapped.text) + 1;
    const current = requests.at(-1);
    // One byte more than the commas: the brackets.
    if (current && current.length < EVENTS_PER_REQUEST && bytes + size < BYTES_PER_REQUEST) {
      current.push(mapped);
      bytes += size;
    } else {
      requests.push([mapped]);
      bytes = size;
    }
  }
  return requests;
}
