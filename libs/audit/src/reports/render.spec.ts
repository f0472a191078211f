import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { createHash } from 'node:crypto';
import { REPORTS, PAGE_POLICY, renderReport, type Report, type ReportFormat, type ReportRow } from './index.js';

const columns = ['name', 'count', 'open', 'scopes', 'events'].map((name) => ({ name, title: `The ${name}` }));
const report = { name: 'test', title: 'A <b>report</b>', description: 'Says & shows', columns } as unknown as Report;
const at = '2026-01-01T00:00:00.000Z';

async function rendered(format: ReportFormat, ...rows: ReportRow[]): Promise<string> {
  const batches = async function* () {
    for (const row of rows) yield [row];
  };
  let text = '';
  for await (const piece of renderReport(format, { report, at, within: ['acme'], generatedAt: at }, batches())) {
    text += piece;
  }
  return text;
}

const row = (more: object = {}): ReportRow => ({ name: 'Key', count: -3, open: true, events: '/e?a=1&b=2', ...more });

describe('a report as JSON', () => {
  it('is one document with its head, its rows and their number', async () => {
    const { rows, count, ...head } = JSON.parse(await rendered('json', row(), row({ scopes: ['a', 'b'] })));
    expect(head).toEqual({
      report: 'test',
      title: report.title,
      description: report.description,
      at,
      keyspaces: ['acme'],
      generatedAt: at,
      columns,
    });
    expect([rows, count]).toEqual([[row(), row({ scopes: ['a', 'b'] })], 2]);
    expect(JSON.parse(await rendered('json'))).toMatchObject({ rows: [], count: 0 });
  });
});

describe('a report as CSV', () => {
  it('has a head and a line for each row, quoted where it must be', async () => {
    expect(await rendered('csv', row({ name: 'a "b", c', scopes: ['x:1', 'x:2'] }), row({ name: 'two\nlines' }))).toBe(
      'name,count,open,scopes,events\r\n"a ""b"", c",-3,true,x:1 x:2,/e?a=1&b=2\r\n"two\nlines",-3,true,,/e?a=1&b=2\r\n',
    );
  });

  it('gives no spreadsheet a formula, whatever a text begins with', async () => {
    const starts = fc.constantFrom('=', '+', '-', '@', '\t', '\r', ' =', '\n+', '＝', '＋', '－', '＠');
    await fc.assert(
      fc.asyncProperty(starts, fc.string(), async (start, rest) => {
        const [, line = ''] = (await rendered('csv', row({ name: start + rest }))).split(/\r\n(.*)/s);
        expect(line).toMatch(/^"?'/);
      }),
    );
  });
});

describe('a report as a page', () => {
  it('escapes every text, and needs nothing from elsewhere', async () => {
    const evil = `<img src=x onerror="alert('1')">&`;
    const page = await rendered('html', row({ name: evil, scopes: [evil] }));
    expect(page).toContain('<td>&lt;img src=x onerror=&quot;alert(&#39;1&#39;)&quot;&gt;&amp;</td>');
    expect(page).toContain('<h1>A &lt;b&gt;report&lt;/b&gt;</h1>');
    expect(page).toContain('<a href="/e?a=1&amp;b=2">');
    expect(page).not.toMatch(/<img|<script|<link|\ssrc=x on[^&]*="|url\(|@import|https?:/);
    expect(page).toMatch(/1 line\. End of report\..*<\/html>\n$/s);
  });

  it('may use its own style and nothing else', async () => {
    const style = /<style>(.*)<\/style>/s.exec(await rendered('html'))?.[1] ?? '';
    const digest = createHash('sha256').update(style).digest('base64');
    expect(PAGE_POLICY).toContain(`style-src 'sha256-${digest}'`);
    expect(PAGE_POLICY).toContain("default-src 'none'");
  });
});

describe('every report', () => {
  it.each([...REPORTS.values()])('$name has a title, a description and columns of different names', (one) => {
    const names = one.columns.map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
    expect(one.columns.every(({ name, title }) => /^[a-z]+[A-Za-z]*$/.test(name) && title.length > 1)).toBe(true);
    expect([one.title, one.description].every((text) => text.length > 4)).toBe(true);
  });
});
