import { expect, it } from '@jest/globals';
import {
  EVENT_CATALOG,
  isEventType,
  PERSONAL_MARKS,
  upcast,
  type EventType,
  type RecordedEvent,
} from '@keyledger/contracts';
import fc from 'fast-check';
import { readFileSync } from 'node:fs';
import { csvRow } from './csv.js';
import { cloudEventOf } from './ocsf.js';
import { subjectIn } from './subject.js';
import { trailRow } from './trail.js';

const types = Object.keys(EVENT_CATALOG).filter(isEventType);

function example(type: EventType): RecordedEvent {
  const { schemaVersion, stream } = EVENT_CATALOG[type];
  const file = new URL(`../../contracts/fixtures/events/${type}.v${schemaVersion}.json`, import.meta.url);
  const { data, metadata } = JSON.parse(readFileSync(file, 'utf8'));
  return {
    id: '0b7e7c1e-5a35-4c1d-9f0a-6f4cf9f1a001',
    stream: `${stream}-x`,
    revision: 0,
    position: 4711n,
    recordedAt: '2026-11-24T10:00:00.000Z',
    event: { type, data: upcast(type, schemaVersion, data) } as RecordedEvent['event'],
    metadata,
  };
}

it.each(types)('%s leaves as a CloudEvent that holds what its OCSF class requires', (type) => {
  const recorded = example(type);
  const envelope = cloudEventOf(recorded, subjectIn(recorded.event), trailRow(recorded, {}).data, '1.2.3');
  expect(envelope).toMatchObject({
    specversion: '1.0',
    id: recorded.id,
    source: 'urn:keyledger',
    type: `keyledger.${type}`,
  });
  expect(Object.keys(envelope).filter((name) => !/^[a-z0-9]{1,20}$/.test(name))).toEqual([]);
  const body = envelope['data'] as Record<'class_uid' | 'activity_id' | 'category_uid' | 'type_uid', number> &
    Record<string, unknown>;
  const required = ['activity_id', 'category_uid', 'class_uid', 'type_uid', 'severity_id', 'time', 'metadata'];
  for (const name of [...required, body.class_uid === 2004 ? 'finding_info' : 'entity'])
    expect(body).toHaveProperty(name);
  expect(body.type_uid).toBe(body.class_uid * 100 + body.activity_id);
  expect(body.category_uid).toBe(Math.floor(body.class_uid / 1000));
  expect(body['metadata']).toMatchObject({ version: '1.8.0', product: { name: 'Keyledger' }, uid: recorded.id });
  expect(JSON.stringify(envelope)).not.toMatch(/"(hash|tokenHash|sealed|sealedUrl|jwe)":/);
});

it('an address leaves as the endpoint of OCSF; one that is withheld or erased does not stand where an address must', () => {
  const leaving = (clientAddress: string | undefined) => {
    const { metadata, ...recorded } = example('KeyRevoked');
    const { clientAddress: _, ...others } = metadata;
    const from = { ...recorded, metadata: { ...others, ...(clientAddress !== undefined && { clientAddress }) } };
    return cloudEventOf(from, {}, {}, '1.2.3')['data'] as Record<string, unknown> & { unmapped: object };
  };
  for (const ip of ['203.0.113.7', '2001:db8::7']) {
    expect(leaving(ip)).toMatchObject({ src_endpoint: { ip } });
    expect(leaving(ip).unmapped).not.toHaveProperty('client_address');
  }
  for (const mark of [PERSONAL_MARKS.withheld, PERSONAL_MARKS.erased]) {
    expect(leaving(mark)).not.toHaveProperty('src_endpoint');
    expect(leaving(mark).unmapped).toMatchObject({ client_address: mark });
  }
  expect(leaving(undefined)).not.toHaveProperty('src_endpoint');
});

it('a line of CSV reads back as what went in, and nothing in it is a formula', () => {
  fc.assert(
    fc.property(fc.array(fc.string({ unit: 'binary' }), { minLength: 1, maxLength: 5 }), (values) => {
      const line = csvRow(
        values.map((value, index) => [String(index), () => value] as const),
        undefined,
      );
      const cells = parse(line);
      expect(cells.map(unguarded)).toEqual(values.map(unguarded));
      for (const cell of cells) expect(cell).not.toMatch(/^[\s\0]*[=+\-@\t\r]/);
    }),
    { examples: [[['\0\r']], [["'\0="]], [['\uff1d1', ' \t']]] },
  );
  expect(
    csvRow(
      [
        ['a', () => '=1+1'],
        ['b', () => 'say "hi", you'],
        ['c', () => -5],
      ],
      0,
    ),
  ).toBe(`'=1+1,"say ""hi"", you",-5\r\n`);
});

/** Without the apostrophe that stands before what a spreadsheet would take for a formula. */
function unguarded(cell: string): string {
  return cell.replace(/^'(?=[\s\0]*[=+\-@\t\r\uff1d\uff0b\uff0d\uff20])/, '');
}

/** RFC 4180, one record. */
function parse(line: string): string[] {
  const cells: string[] = [];
  const field = /(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r\n$)/gy;
  for (let match = field.exec(line); match; match = field.exec(line)) {
    cells.push(match[1]?.replaceAll('""', '"') ?? match[2] ?? '');
    if (match[3] !== ',') return cells;
  }
  throw new Error(`no CSV: ${line}`);
}
