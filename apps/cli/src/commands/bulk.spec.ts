import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Readable } from 'node:stream';
import { EXIT } from '../exit.js';
import { runCommandLine } from '../program.js';

let server: Server, url: string;
let sent: { keyspaceId: string; keys: unknown[] }[];
beforeAll(async () => {
  server = createServer((request, response) => {
    let body = '';
    request.setEncoding('utf8').on('data', (text: string) => (body += text));
    request.on('end', () => {
      sent.push(JSON.parse(body) as (typeof sent)[number]);
      response.writeHead(200, { 'content-type': 'application/json' });
      response.end(JSON.stringify({ results: [], effective: true }));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(() => void server.close());
beforeEach(() => {
  sent = [];
});

async function importing(stdin: string): Promise<{ code: number; err: string }> {
  let err = '';
  const code = await runCommandLine(['keys', 'import', '-', '--keyspace', 'acme'], {
    env: { KEYLEDGER_URL: url, KEYLEDGER_KEY: 'k' },
    stdin: Readable.from([stdin]),
    stdout: { write: () => undefined, put: async () => undefined },
    stderr: { write: (text) => (err += text) },
  });
  return { code, err };
}

describe('an import of keys', () => {
  const items = [{ name: 'one' }, { name: 'two' }];

  it.each([
    ['a JSON list', JSON.stringify(items, null, 2)],
    ['an object with a list of keys', JSON.stringify({ keys: items })],
    ['one object a line', items.map((item) => JSON.stringify(item)).join('\n')],
  ])('sends every item of %s, in its order', async (_, text) => {
    expect(await importing(text)).toEqual({ code: EXIT.ok, err: '' });
    expect(sent).toEqual([{ keyspaceId: 'acme', keys: items }]);
  });

  it.each([
    ['an empty list', '[]', '- holds no keys to import: write a JSON list of them, or one a line'],
    [
      'an object whose keys are an empty list',
      '{"keys": []}',
      '- holds no keys to import: write a JSON list of them, or one a line',
    ],
    ['an object whose keys are no list', '{"keys": "all"}', '"keys" is no list: write {"keys": [{…}, …]}'],
    ['a list of something else', '[{"name": "one"}, "two"]', 'item 2 is not a JSON object, as each key of a list is'],
    ['nothing', '\n', '- holds no keys to import: write a JSON list of them, or one a line'],
  ])('refuses %s, saying what is wrong with it, and sends nothing', async (_, text, message) => {
    const { code, err } = await importing(text);
    expect(code).toBe(EXIT.usage);
    expect(err).toContain(message);
    expect(sent).toEqual([]);
  });
});
