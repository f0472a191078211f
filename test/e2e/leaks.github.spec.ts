import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { once } from 'node:events';
import { request, type IncomingMessage } from 'node:http';
import { http, startSystem, type System } from '../support/index.js';
import { Desk } from './api.harness.js';
import { GITHUB_ROUTE, GithubPeer, SAMPLES, tokenHash } from './github.js';

let system: System;
let desk: Desk;
let github: GithubPeer;
let api: string;

beforeAll(async () => {
  github = await GithubPeer.start();
  system = await startSystem({ KEYLEDGER_GITHUB_KEYS_URL: github.keysUrl });
  desk = new Desk(system);
  api = system.api.baseUrl;
});

afterAll(async () => {
  await desk.dispose();
  await system.stop();
  await github.stop();
});

const send = (body: string, headers: Record<string, string>) => http(api).post(GITHUB_ROUTE, body, headers);
const itemOf = (token: string, more: object = {}) => ({
  token,
  type: 'acme_api_key',
  url: 'https://github.example/o/r/blob/1/f',
  source: 'Commit',
  ...more,
});

/** What is answered to a report of that size before more than its first bytes are there. */
async function announced(bytes: number): Promise<{ status: number | undefined; code: string }> {
  const headers = { ...github.signed('huge'), 'content-type': 'application/json', 'content-length': bytes };
  const sending = request(api + GITHUB_ROUTE, { method: 'POST', headers });
  sending.write('[{"token":"');
  const [response] = (await once(sending, 'response')) as [IncomingMessage];
  let text = '';
  for await (const chunk of response) text += String(chunk);
  sending.destroy();
  return { status: response.statusCode, code: (JSON.parse(text) as { code: string }).code };
}

describe('a report that GitHub signed', () => {
  it.each(SAMPLES)(
    "is taken where it is GitHub's own sample ($identifier)",
    async ({ identifier, signature, body }) => {
      const headers = { 'Github-Public-Key-Identifier': identifier, 'Github-Public-Key-Signature': signature };
      const answer = await send(body, headers);
      expect(answer.status).toBe(200);
      expect(answer.body).toEqual([
        { token_hash: tokenHash('some_token'), token_type: 'some_type', label: 'false_positive' },
      ]);
      const changed = await send(body.replace('some_token', 'sOme_token'), headers);
      expect([changed.status, changed.body.code]).toEqual([403, 'NOT_ALLOWED']);
    },
  );

  it('ends in a key that verifiers refuse when the answer comes, and says of each token whether it was one', async () => {
    const id = await desk.keyspace();
    const { key, keyId } = await desk.issue(id);
    const stranger = 'ghx_0123456789abcdefghijklmnopqrstuvwxyz';
    const { status, body } = await github.report(api, [
      itemOf(key, { source: 'NEW_place', extra: 1 }),
      itemOf(stranger),
    ]);
    expect(status).toBe(200);
    expect(body).toEqual([
      { token_hash: tokenHash(key), token_type: 'acme_api_key', label: 'true_positive' },
      { token_hash: tokenHash(stranger), token_type: 'acme_api_key', label: 'false_positive' },
    ]);
    const { body: verdict } = await http(system.verifier.baseUrl, system.adminKey).post('/v1/verify', { key });
    expect(verdict.code).toBe('REVOKED');
    const { body: list } = await desk.admin.get(`/v1/leaks?keyspaceId=${id}`);
    expect(list.items).toMatchObject([{ state: 'open', source: 'github', location: 'new_place', key: { keyId } }]);
  });

  it('is about the same incidents when it is sent again, and a key that is over stays a key', async () => {
    const { key, keyId } = await desk.issue(await desk.keyspace());
    const report = [itemOf(key), itemOf(key), itemOf(key, { url: 'https://github.example/elsewhere' })];
    const first = await github.report(api, report);
    const head = await desk.head();
    const second = await github.report(api, report);
    expect(second.body).toEqual(first.body);
    expect(first.body.map(({ label }: { label: string }) => label)).toEqual(Array(3).fill('true_positive'));
    expect(await desk.head()).toBe(head);
    expect((await desk.events(`key-${keyId}`)).toSorted()).toEqual(
      ['KeyIssued', 'KeyLeakReported', 'KeyLeakReported', 'KeyRevoked'].toSorted(),
    );
  });

  it('is read as the bytes that were signed, in whatever way they write JSON', async () => {
    const { key } = await desk.issue(await desk.keyspace());
    const body = `[ {"type":"t",\n "token" : "${key}",  "source":null, "url":""} ]`;
    expect(await github.report(api, body)).toMatchObject({ status: 200, body: [{ label: 'true_positive' }] });
  });
});

describe('a report that is no good', () => {
  it('is 401 without a signature, 403 with another one or another key, and leaves nothing behind', async () => {
    const { key } = await desk.issue(await desk.keyspace());
    const body = JSON.stringify([itemOf(key)]);
    const headers = github.signed(body);
    const head = await desk.head();
    const unsigned = await send(body, {});
    expect([unsigned.status, unsigned.body.code]).toEqual([401, 'NO_CREDENTIAL']);
    expect(unsigned.headers.get('www-authenticate')).toContain('Github-Public-Key');
    for (const wrong of [
      { ...headers, 'Github-Public-Key-Identifier': 'f'.repeat(64) },
      { ...headers, 'Github-Public-Key-Signature': 'AAAA' },
      { ...headers, 'Github-Public-Key-Signature': '' },
      github.signed(`${body} `),
    ]) {
      const answer = await send(body, wrong);
      expect([answer.status, answer.body.code]).toEqual([403, 'NOT_ALLOWED']);
    }
    expect(await desk.head()).toBe(head);
    expect(await desk.verdict(key)).toBe('VALID');
  });

  it.each([
    ['{"token": "x"}', 'body'],
    ['[1]', '[0]'],
    ['[{"token":"x","type":"t"},{"type":"t"}]', '[1].token'],
    ['[{"token":"x","type":7}]', '[0].type'],
    [`[{"token":"x","type":"t","url":"${'u'.repeat(2049)}"}]`, '[0].url'],
  ])('is 400 and names what is wrong: %s', async (body, field) => {
    const head = await desk.head();
    const answer = await github.report(api, body);
    expect([answer.status, answer.body.code]).toEqual([400, 'INVALID']);
    expect(answer.body.errors.map((error: { field: string }) => error.field)).toEqual([field]);
    expect(await desk.head()).toBe(head);
  });

  it('is 400 for what is not JSON, 415 for another media type, 413 for too many items and for 10 MB', async () => {
    expect((await github.report(api, '[{')).status).toBe(400);
    expect((await send('x', { ...github.signed('x'), 'content-type': 'text/plain' })).status).toBe(415);
    const many = await github.report(api, Array(1001).fill({ token: 'x', type: 't' }));
    expect([many.status, many.body.code]).toEqual([413, 'TOO_LARGE']);
    expect(await announced(10_000_000)).toEqual({ status: 413, code: 'TOO_LARGE' });
  });
});

it('the list of keys is fetched for an unknown key only, and not again and again', async () => {
  expect(github.asked.length).toBeLessThanOrEqual(2);
});
