import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { signCheckpoint } from './checkpoint.js';
import { canonicalJson } from './canonical.js';
import { eventBytes, hashOfEvent, leafBytes, leafOf, Malformed, parseLeaf } from './envelope.js';
import { naiveRoot, NaiveStore, storedEvents } from './merkle.spec-support.js';
import { generateSignerKey, parseSignerKey } from './note.js';
import { formatReceipt, makeReceipt, parseReceipt, verifyReceipt } from './receipt.js';

const events = storedEvents(21);
const hashes = events.map((event, index) => hashOfEvent(index, event));
const store = new NaiveStore(hashes);
const signer = parseSignerKey(generateSignerKey('keys.example.com/audit'));
const [event] = events;
if (!event) throw new Error('there are events');
const checkpointAt = (size: number): string =>
  signCheckpoint({ origin: signer.name, size, root: naiveRoot(hashes.slice(0, size)) }, [signer]);

describe('a leaf', () => {
  it('is the canonical JSON of the event as stored, and reads back from its bytes', () => {
    const leaf = leafOf(7, { ...event, data: { b: 1, a: [2.5] }, metadata: undefined });
    expect(leafBytes(leaf).toString()).toBe(
      `{"data":{"a":[2.5],"b":1},"id":"${event.id}","index":7,"position":"17",` +
        `"recordedAt":"2023-11-14T22:13:20.000Z","revision":0,"stream":"key-0","type":"KeyIssued"}`,
    );
    expect(parseLeaf(leafBytes(leaf))).toEqual(leaf);
  });

  it('exists for every event that a store can hold, and differs where the stored bytes differ', () => {
    const odd = [Buffer.from([0, 255]), 'no object', null, { name: '\ud800' }, { name: '\ud801' }, { name: '�' }, []];
    const leaves = odd.map((data) => leafBytes(leafOf(0, { ...event, data, metadata: data })));
    expect(new Set(leaves.map(String)).size).toBe(odd.length);
    for (const leaf of leaves) expect(leafBytes(parseLeaf(leaf))).toEqual(leaf);
    expect(odd.map((data) => eventBytes(0, { ...event, data, metadata: data }))).toEqual(leaves);
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
        const text = formatReceipt(await makeReceipt(index, checkpointAt(size), store));
        const leaf = leafBytes(leafOf(index, events[index] ?? event));
        expect(verifyReceipt(text, leaf, [signer])).toMatchObject({ valid: true, index, checkpoint: { size } });
        leaf.writeUInt8(leaf.readUInt8(5) ^ 1, 5);
        expect(verifyReceipt(text, leaf, [signer])).toMatchObject({ valid: false, code: 'NOT_INCLUDED' });
      }
    }
  });

  it('is written as C2SP tlog-proof, with what its writer adds', async () => {
    const receipt = { ...(await makeReceipt(2, checkpointAt(3), store)), extra: Buffer.from('who') };
    const text = formatReceipt(receipt);
    const sibling = naiveRoot(hashes.slice(0, 2)).toString('base64');
    expect(text).toBe(`c2sp.org/tlog-proof@v1\nextra d2hv\nindex 2\n${sibling}\n\n${checkpointAt(3)}`);
    expect(parseReceipt(text)).toEqual(receipt);
  });

  it('with any one byte changed proves nothing', async () => {
    const bytes = Buffer.from(formatReceipt(await makeReceipt(3, checkpointAt(21), store)));
    const leaf = leafBytes(leafOf(3, events[3] ?? event));
    fc.assert(
      fc.property(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 }), (at, flip) => {
        const changed = Buffer.from(bytes);
        changed.writeUInt8(changed.readUInt8(at) ^ flip, at);
        expect(verifyReceipt(changed.toString('utf8'), leaf, [signer]).valid).toBe(false);
      }),
    );
  });

  it('of a key that is not trusted says so', async () => {
    const text = formatReceipt(await makeReceipt(0, checkpointAt(2), store));
    const stranger = parseSignerKey(generateSignerKey(signer.name));
    const verdict = verifyReceipt(text, leafBytes(leafOf(0, event)), [stranger]);
    expect(verdict).toMatchObject({ valid: false, code: 'UNKNOWN_KEY' });
  });

  it('of a leaf that the signed tree does not hold yet is refused', async () => {
    await expect(makeReceipt(3, checkpointAt(3), store)).rejects.toThrow('a tree of 3 leaves has no leaf 3');
  });
});
