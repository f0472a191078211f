import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { decodeAppend, decodeBatchFragment, decodeDelete } from './append-messages.js';
import { bytesField, FieldReader, int64Field, MalformedMessage, textField, uintField } from './protobuf.js';
import { decodeRead } from './read-messages.js';
import {
  encodeEventMessage,
  encodeRecord,
  locateNames,
  readRecord,
  recordId,
  withStructuredId,
} from './recorded-event.js';
import { readUuid } from './identifiers.js';

const decoders: [string, (bytes: Buffer) => unknown][] = [
  ['Append', decodeAppend],
  ['BatchAppend', (bytes) => decodeBatchFragment(bytes).decode()],
  ['Delete', decodeDelete],
  ['Read', decodeRead],
];

// Bytes that look like these messages get further than noise does.
const fields = fc.letrec<{ message: Buffer }>((tie) => ({
  message: fc
    .array(
      fc.oneof(
        { depthSize: 'small' },
        fc.tuple(fc.integer({ min: 1, max: 10 }), fc.nat()).map(([field, value]) => uintField(field, value)),
        fc
          .tuple(fc.integer({ min: 1, max: 10 }), fc.string({ maxLength: 40 }))
          .map(([field, text]) => textField(field, text)),
        fc.tuple(fc.integer({ min: 1, max: 10 }), tie('message')).map(([field, inner]) => bytesField(field, inner)),
      ),
      { maxLength: 6 },
    )
    .map((parts) => Buffer.concat(parts)),
})).message;
const hostile = fc.oneof(
  fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)),
  fields,
  fc.tuple(fields, fc.nat({ max: 300 })).map(([bytes, cut]) => bytes.subarray(0, cut)),
);

describe.each(decoders)('a request to %s', (_name, decode) => {
  it('of any bytes is read or refused as malformed, and nothing else', () => {
    fc.assert(
      fc.property(hostile, (bytes) => {
        try {
          decode(bytes);
        } catch (error) {
          expect(error).toBeInstanceOf(MalformedMessage);
        }
      }),
      { numRuns: 500 },
    );
  });
});

it.each([
  ['is refused without a checkpoint interval, or with one of nothing', [], [uintField(5, 0)], /multiplier/],
  ['is refused with a search window of nothing', [uintField(3, 0)], [uintField(3, 0), uintField(5, 1)], /window/],
])('a filtered subscription %s', (_name, one, other, reason) => {
  const reads = (filter: Buffer[], how: Buffer): unknown =>
    decodeRead(bytesField(1, bytesField(2, bytesField(3)), bytesField(7, bytesField(1), ...filter), how));
  const subscription = bytesField(6);
  for (const filter of [one, other]) expect(() => reads(filter, subscription)).toThrow(reason);
  expect(reads([uintField(5, 1)], subscription)).toMatchObject({ filter: { checkpointInterval: 32 } });
  expect(reads([], uintField(5, 10))).toMatchObject({ count: 10 });
});

describe('an integer', () => {
  it('reads as it was written', () => {
    fc.assert(
      fc.property(fc.maxSafeNat(), fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), (unsigned, signed) => {
        const reader = new FieldReader(Buffer.concat([uintField(3, unsigned), int64Field(2000, signed)]));
        expect([reader.next(), reader.field, reader.uint()]).toEqual([true, 3, unsigned]);
        expect([reader.next(), reader.field, reader.int64()]).toEqual([true, 2000, signed]);
        expect(reader.next()).toBe(false);
      }),
    );
  });
});

describe('a stored record', () => {
  const name = fc.string({ minLength: 1, maxLength: 300, unit: 'grapheme' });
  const record = fc.record({
    id: fc.uuid(),
    stream: name,
    type: name,
    revision: fc.nat(),
    position: fc.integer({ min: 1 }),
    json: fc.boolean(),
    createdMs: fc.nat(),
    customMetadata: fc.uint8Array({ maxLength: 50 }).map((bytes) => Buffer.from(bytes)),
    data: fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
  });

  it('gives back its id, stream, type, revision and data, and travels unchanged behind its prefix', () => {
    fc.assert(
      fc.property(record, (original) => {
        const stored = encodeRecord(original);
        const spans = { streamStart: 0, streamEnd: 0, typeStart: 0, typeEnd: 0 };
        locateNames(stored, spans);
        expect(stored.toString('utf8', spans.streamStart, spans.streamEnd)).toBe(original.stream);
        expect(stored.toString('utf8', spans.typeStart, spans.typeEnd)).toBe(original.type);
        expect(recordId(stored)).toBe(original.id);
        expect(readRecord(stored)).toEqual({
          stream: original.stream,
          revision: original.revision,
          data: original.data,
        });
        const message = encodeEventMessage(stored, original.position);
        expect(message.subarray(message.length - stored.length).equals(stored)).toBe(true);
      }),
    );
  });

  it('carries the same id in halves for readers that ask for them', () => {
    fc.assert(
      fc.property(record, (original) => {
        const reader = new FieldReader(withStructuredId(encodeRecord(original)));
        expect(reader.next()).toBe(true);
        expect(readUuid(reader.message())).toBe(original.id);
      }),
    );
  });
});
