import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { Readable } from 'node:stream';
import { fields, printable, problemText, type Terminal } from './print.js';
import { table } from './table.js';

const columns = [
  { head: 'KEY', of: (item: { id: string; name: string }) => item.id, whole: true },
  { head: 'NAME', of: (item: { id: string; name: string }) => item.name },
];

function terminal(width?: number): Terminal {
  const output = {
    write: () => undefined,
    put: async () => undefined,
    ...(width !== undefined && { isTTY: true, columns: width }),
  };
  return { env: { NO_COLOR: '1' }, stdin: Readable.from([]), stdout: output, stderr: output };
}

describe('a table', () => {
  it('gives a pipe everything, one line per item, without colours or frames', () => {
    const name = 'n'.repeat(300);
    const text = table([{ id: 'key_1', name }], columns, terminal());
    expect(text).toBe(`KEY    NAME\nkey_1  ${name}\n`);
  });

  it('fits a terminal and never cuts an id', () => {
    fc.assert(
      fc.property(
        fc.string({ maxLength: 200, unit: 'grapheme-ascii' }),
        fc.integer({ min: 40, max: 120 }),
        (name, width) => {
          const text = table([{ id: 'key_0123456789abcdef', name }], columns, terminal(width));
          expect(text).toContain('key_0123456789abcdef');
          for (const line of text.split('\n')) expect(line.length).toBeLessThanOrEqual(width);
        },
      ),
    );
  });
});

describe('text from elsewhere', () => {
  it('never carries a control character to a terminal', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        expect(printable(text)).not.toMatch(/[\p{Cc}\u202e]/u);
      }),
    );
    expect(fields([['name', '\u001b[2Jgone']])).toBe('name  \\u{1b}[2Jgone\n');
  });

  it('shows a problem with each field and what would be right', () => {
    const errors = [{ field: 'lifetime', message: 'is beyond the policy', fix: 'at most P30D' }];
    expect(problemText({ title: 'Not allowed', code: 'POLICY', detail: 'The key cannot be.', errors })).toBe(
      'Not allowed (POLICY)\n  The key cannot be.\n  lifetime is beyond the policy: at most P30D\n',
    );
  });
});
