import { describe, expect, it } from '@jest/globals';
import { EVENT_CATALOG, isEventType, type EventMetadata } from '@keyledger/contracts';
import { readdirSync, readFileSync } from 'node:fs';
import { decode, encode, MAX_APPEND_BYTES, type NewEvent } from './codec.js';
import { CorruptEvent, EventStoreRefused } from './errors.js';

const FIXTURES = new URL('../../contracts/fixtures/events/', import.meta.url);
const names = readdirSync(FIXTURES).filter((name) => name.endsWith('.json'));
type Stored = { data: Record<string, unknown>; metadata: EventMetadata };
type Resolved = Parameters<typeof decode>[0];

const stored = (name: string): Stored => JSON.parse(readFileSync(new URL(name, FIXTURES), 'utf8'));

/** As the client gives what it reads. */
/** A stream where events of a type stand; for an unknown type one of a key. */
const streamOf = (type: string): string => `${isEventType(type) ? EVENT_CATALOG[type].stream : 'key'}-k3xT9wQm2LpZ`;

function resolved(type: string, data: unknown, metadata: unknown, more: object = {}): Resolved {
  const event = {
    streamId: streamOf(type),
    id: '0b1f7a52-6a43-4d0e-9c55-0f4c2f1f6d11',
    revision: 3n,
    type,
    data,
    metadata,
    isJson: true,
    created: new Date('2026-03-02T09:15:30.125Z'),
    position: { commit: 41n, prepare: 41n },
    ...more,
  };
  return { event, commitPosition: 42n };
}

describe('decoding', () => {
  it.each(names)('gives the golden fixture %s its newest shape and its place', (name) => {
    const [type = ''] = name.split('.');
    const { data, metadata } = stored(name);
    const newest = metadata.schemaVersion === EVENT_CATALOG[type as 'KeyIssued'].schemaVersion;
    expect(decode(resolved(type, data, metadata))).toEqual({
      id: '0b1f7a52-6a43-4d0e-9c55-0f4c2f1f6d11',
      stream: streamOf(type),
      revision: 3,
      position: 42n,
      recordedAt: '2026-03-02T09:15:30.125Z',
      event: { type, data: newest ? data : stored(`newest/${name}`).data },
      metadata,
    });
  });

  const { data, metadata } = stored('KeyRevoked.v1.json');
  const without = (name: string): object =>
    Object.fromEntries(Object.entries(metadata).filter(([key]) => key !== name));

  it.each<[string, Resolved, string]>([
    ['an unknown type', resolved('KeyMelted', data, metadata), 'its type is not in the catalog'],
    [
      'a type of another kind of stream',
      resolved('KeyspaceArchived', data, metadata, { streamId: 'key-1' }),
      'another kind',
    ],
    ['a newer version', resolved('KeyRevoked', data, { ...metadata, schemaVersion: 99 }), 'schemaVersion is 99'],
    ['a version that is none', resolved('KeyRevoked', data, { ...metadata, schemaVersion: 0 }), 'schemaVersion is 0'],
    ['bytes', resolved('KeyRevoked', new Uint8Array([123]), metadata, { isJson: false }), 'no JSON object'],
    ['broken JSON, which the client hands over as text', resolved('KeyRevoked', '{"keyId', metadata), 'no JSON object'],
    ['an array', resolved('KeyRevoked', [], metadata), 'no JSON object'],
    ['null', resolved('KeyRevoked', null, metadata), 'no JSON object'],
    ['no metadata', resolved('KeyRevoked', data, undefined), 'metadata'],
    [
      'broken metadata, which the client hands over as bytes',
      resolved('KeyRevoked', data, new Uint8Array()),
      'metadata',
    ],
    ['metadata without a command', resolved('KeyRevoked', data, without('commandId')), 'metadata'],
    ['metadata without an actor', resolved('KeyRevoked', data, without('actor')), 'metadata'],
    ['a member missing', resolved('KeyRevoked', { ...data, reason: undefined }, metadata), 'KeyRevoked lacks reason'],
  ])('refuses %s, and says where and why without saying what', (_, event, problem) => {
    const thrown = caught(() => decode(event));
    expect(thrown).toBeInstanceOf(CorruptEvent);
    expect(thrown).toMatchObject({ stream: event.event?.streamId, revision: 3 });
    expect((thrown as Error).message).toContain(problem);
    expect((thrown as Error).message).not.toContain(data['comment']);
  });

  it('passes over what the store writes itself, and over links', () => {
    const link = resolved('$>', new Uint8Array(), undefined).event;
    const event = resolved('KeyRevoked', data, metadata).event;
    expect(decode(resolved('$metadata', {}, undefined, { streamId: '$$key-1' }))).toBeUndefined();
    expect(decode(resolved('$>', '3@key-2', undefined))).toBeUndefined();
    expect(decode({ event, link, commitPosition: 1n } as Resolved)).toBeUndefined();
    expect(decode({ link, commitPosition: 1n } as Resolved)).toBeUndefined();
  });
});

describe('encoding', () => {
  const event = (data: unknown): NewEvent => {
    const { metadata } = stored('KeyRevoked.v1.json');
    return { id: '0b1f7a52-6a43-4d0e-9c55-0f4c2f1f6d11', type: 'KeyRevoked', data: data as NewEvent['data'], metadata };
  };

  it('keeps id, type, data and metadata, as JSON', () => {
    const one = event({ keyId: 'k' });
    const [encoded] = encode([one]);
    expect(encoded).toMatchObject({ id: one.id, type: one.type });
    expect(JSON.parse(String(encoded?.data))).toEqual(one.data);
    expect(JSON.parse(String(encoded?.metadata))).toEqual(one.metadata);
  });

  it('refuses what could not be stored: no JSON, or too much of it', () => {
    const circular: Record<string, unknown> = {};
    circular['self'] = circular;
    for (const data of [circular, { position: 1n }]) {
      expect(caught(() => encode([event(data)]))).toMatchObject({ name: 'EventStoreRefused', reason: 'invalid' });
    }
    const half = event({ comment: 'x'.repeat(MAX_APPEND_BYTES / 2) });
    expect(caught(() => encode([half, half]))).toMatchObject({ name: 'EventStoreRefused', reason: 'too-large' });
    expect(encode([half])).toHaveLength(1);
    expect(caught(() => encode([half, half]))).toBeInstanceOf(EventStoreRefused);
  });
});

function caught(run: () => unknown): unknown {
  try {
    run();
  } catch (error) {
    return error;
  }
  throw new Error('it did not throw');
}
