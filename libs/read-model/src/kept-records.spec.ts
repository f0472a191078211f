import { describe, expect, it } from '@jest/globals';
import { KeptRecords } from './kept-records.js';

const textOf = (keyId: string, revision = 0): string => `${revision} ${JSON.stringify({ keyId, status: 'active' })}`;
const SIZE = textOf('a').length;

describe('records that are kept', () => {
  it('are the same object for the same text, and another as soon as one character differs', () => {
    const records = new KeptRecords();
    const first = records.decode('a', textOf('a'));
    expect(first).toMatchObject({ state: { keyId: 'a', status: 'active' }, revision: 0 });
    expect(records.decode('a', textOf('a'))).toBe(first);
    const revoked = textOf('a', 1).replace('active', 'revoked');
    expect(records.decode('a', revoked)).toMatchObject({ state: { status: 'revoked' }, revision: 1 });
    expect(records.decode('a', textOf('a'))).not.toBe(first);
  });

  it('tell a secret that is over from a key', () => {
    const records = new KeptRecords();
    expect(records.decode('a', '3 @key_1')).toEqual({ retiredOf: 'key_1' });
    expect(records.decode('a', textOf('a'))).toMatchObject({ state: { keyId: 'a' } });
  });

  it('refuse a text that is none of ours, whatever stood there before, and never quote it', () => {
    const records = new KeptRecords();
    records.decode('a', textOf('a'));
    expect(() => records.decode('a', '0 {"mask":')).toThrow('a record cannot be read');
    expect(records.decode('a', textOf('a'))).toMatchObject({ state: { keyId: 'a' } });
  });

  it('take no more room than their bound, and what does not fit is answered all the same', () => {
    const records = new KeptRecords(2 * SIZE);
    const [a, b] = [records.decode('a', textOf('a')), records.decode('b', textOf('b'))];
    const c = records.decode('c', textOf('c'));
    expect(c).toMatchObject({ state: { keyId: 'c' } });
    expect(records.decode('c', textOf('c'))).not.toBe(c);
    expect([records.decode('a', textOf('a')), records.decode('b', textOf('b'))]).toEqual([a, b]);
    expect(records.decode('a', textOf('a'))).toBe(a);
  });

  it('make room in the end for those that are asked for now', () => {
    const records = new KeptRecords(2 * SIZE);
    for (const name of ['a', 'b']) records.decode(name, textOf(name));
    for (let i = 0; i < 20; i++) records.decode('c', textOf('c'));
    expect(records.decode('c', textOf('c'))).toBe(records.decode('c', textOf('c')));
  });
});
