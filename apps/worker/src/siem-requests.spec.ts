import { expect, it } from '@jest/globals';
import fc from 'fast-check';
import { requestsOf } from './siem-requests.js';

const KIB = 1024;
const bytesOf = (request: { text: string }[]) => Buffer.byteLength(`[${request.map(({ text }) => text).join(',')}]`);
const events = (amount: number, bytes: number) => Array.from({ length: amount }, () => ({ text: 'x'.repeat(bytes) }));

it('a request to a SIEM holds 100 events at most, and 256 KiB unless one event is larger by itself', () => {
  const sizes = fc.oneof({ weight: 9, arbitrary: fc.nat(9 * KIB) }, { weight: 1, arbitrary: fc.nat(300 * KIB) });
  fc.assert(
    fc.property(fc.array(sizes, { maxLength: 300 }), fc.constantFrom('x', 'ä'), (lengths, letter) => {
      const given = lengths.map((length) => ({ text: letter.repeat(length) }));
      const requests = requestsOf(given);
      expect(requests.flat()).toEqual(given);
      for (const [index, request] of requests.entries()) {
        expect(request.length).toBeGreaterThan(0);
        expect(request.length).toBeLessThanOrEqual(100);
        if (request.length > 1) expect(bytesOf(request)).toBeLessThanOrEqual(256 * KIB);
        // As few requests as there can be: the first of the next would not have fitted.
        const [next] = requests[index + 1] ?? [];
        if (next && request.length < 100) expect(bytesOf([...request, next])).toBeGreaterThan(256 * KIB);
      }
    }),
    { numRuns: 50 },
  );
});

it('it is split at the 101st event, and at the byte that does not fit', () => {
  expect(requestsOf(events(250, 10)).map(({ length }) => length)).toEqual([100, 100, 50]);
  const exact = 64 * KIB - 1;
  expect(requestsOf([...events(3, exact), ...events(1, exact - 1)]).map(bytesOf)).toEqual([256 * KIB]);
  expect(requestsOf(events(4, exact)).map(({ length }) => length)).toEqual([3, 1]);
  expect(requestsOf(events(2, 300 * KIB)).map(({ length }) => length)).toEqual([1, 1]);
});
