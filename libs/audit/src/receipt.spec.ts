import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { signCheckpoint } from './checkpoint.js';
import { canonicalJson } from './canonical.js';
import { eventBytes, hashOfEvent, leafOf, Malformed, parseLeaf, storedOf } from './envelope.js';
import { proveInclusion } from './merkle.js';
import { naiveRoot, NaiveStore, storedEvents } from './merkle.spec-support.js';
import { generateSignerKey, parseSignerKey } from './note.js';
import { formatReceipt, parseReceipt, verifyReceipt, type Receipt } from './receipt.js';

const events = storedEvents(21);
const hashes = events.map((event, index) => hashOfEvent(index, event));
const store = new NaiveStore(hashes);
const signer = parseSignerKey(generateSignerKey('keys.example.com/audit'));
const [event] = events;
if (!event) throw new Error('there are events');
const checkpointAt = (size: number): string =>
  signCheckpoint({ origin: signer.name, size, root: naiveRoot(hashes.slice(0, size)) }, [signer]);
const receiptOf = async (index: number, size: number): Promise<Receipt> => {
  return { index, hashes: await proveInclusion(index, size, store), checkpoint: checkpointAt(size) };
};

describe('a leaf', () => {
  it('is the canonical JSON of the event as stored, and reads back from its bytes', () => {
    const stored = { ...event, data: { b: 1, a: [2.5] }, metadata: undefined };
    expect(eventBytes(7, stored).toString()).toBe(
      `{"data":{"a":[2.5],"b":1},"id":"${event.id}","index":7,"position":"17",` +
        `"recordedAt":"2023-11-14T22:13:20.000Z","revision":0,"stream":"key-0","type":"KeyIssued"}`,
    );
    expect(parseLeaf(eventBytes(7, stored))).toEqual(leafOf(7, stored));
  });

  it('exists for every event that a store can hold, and differs where the stored bytes differ', () => {
    const odd = [Buffer.from([0, 255]), 'no object', null, { name: '\ud800' }, { name: '\ud801' }, { name: '�' }, []];
    const stored = odd.map((data) => ({ ...event, data, metadata: data }));
    const leaves = stored.map((one) => eventBytes(0, one));
    expect(new Set(leaves.map(String)).size).toBe(odd.length);
    for (const leaf of leaves) expect(eventBytes(0, storedOf(parseLeaf(leaf)))).toEqual(leaf);
    expect(stored.map((one) => canonicalJson(leafOf(0, one)))).toEqual(leaves.map(String));
  });

  it('keeps positions beyond 2^53', () => {
    expect(leafOf(0, { ...event, position: 2n ** 63n + 1n }).position).toBe('9223372036854775809');
  });

  it.each([
    ['white space', (text: string) => text.replace(',', ', ')],
    ['another member', (text: string) => text.replace('{', '{"a":1,')],
    ['a member twice', (text: string) => text.replace('"index":0', '"index":0,"index":0')],
    ['no index', (text: string) => text.replace('"index":0,', '')],
    ['a date that is none', (text: string) => text.replace('2023-11-14', '2023-02-31')],
    ['no data', (text: string) => text.replace('"data"', '"dataX"')],
    ['data twice', (text: string) => text.replace('{', '{"dataText":"",')],
    ['a byte of no UTF-8', (text: string) => text.replace('because', '\ufffdecause')],
  ])('with %s is none', (_, change) => {
    const text = canonicalJson(leafOf(0, event));
    const bytes = Buffer.from(change(text).replace('\ufffd', 'ÿ'), change(text).includes('\ufffd') ? 'latin1' : 'utf8');
    expect(() => parseLeaf(bytes)).toThrow(Malformed);
  });
});

describe('a receipt', () => {
  it('proves each event in each tree that holds it, and no other bytes', async () => {
    for (let size = 1; size <= events.length; size += 4) {
      for (let index = 0; index < size; index += 1) {
        const text = formatReceipt(await receiptOf(index, size));
        const leaf = eventBytes(index, events[index] ?? event);
        expect(verifyReceipt(text, leaf, [signer])).toMatchObject({ valid: true, index, checkpoint: { size } });
        leaf.writeUInt8(leaf.readUInt8(5) ^ 1, 5);
        expect(verifyReceipt(text, leaf, [signer])).toMatchObject({ valid: false, code: 'NOT_INCLUDED' });
      }
    }
  });

  it('is written as C2SP tlog-proof, with what its writer adds', async () => {
    const receipt = { ...(await receiptOf(2, 3)), extra: Buffer.from('who') };
    const text = formatReceipt(receipt);
    const sibling = naiveRoot(hashes.slice(0, 2)).toString('base64');
    expect(text).toBe(`c2sp.org/tlog-proof@v1\nextra d2hv\nindex 2\n${sibling}\n\n${checkpointAt(3)}`);
    expect(parseReceipt(text)).toEqual(receipt);
  });

  it('with any one byte changed proves nothing', async () => {
    const bytes = Buffer.from(formatReceipt(await receiptOf(3, 21)));
    const leaf = eventBytes(3, events[3] ?? event);
    fc.assert(
      fc.property(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 }), (at, flip) => {
        const changed = Buffer.from(bytes);
        changed.writeUInt8(changed.readUInt8(at) ^ flip, at);
        expect(verifyReceipt(changed.toString('utf8'), leaf, [signer]).valid).toBe(false);
      }),
    );
  });

  it('of a key that is not trusted says so', async () => {
    const text = formatReceipt(await receiptOf(0, 2));
    const stranger = parseSignerKey(generateSignerKey(signer.name));
    const verdict = verifyReceipt(text, eventBytes(0, event), [stranger]);
    expect(verdict).toMatchObject({ valid: false, code: 'UNKNOWN_KEY' });
  });
});
